"""The page: the only package that imports gradio. Work is done by jobs; nothing here outlives or blocks them."""
