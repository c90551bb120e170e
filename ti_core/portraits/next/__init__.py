"""The 128 px world and the training of the next Portraits model. It takes the place of the modules beside it once
its weights ship.
"""
