"""Options of the Train tab: those that A1111 1.10.1 shows (modules/ui.py), in its order."""

from __future__ import annotations

from dataclasses import dataclass

from ti_core.settings.option import Settings, option
from ti_core.settings.shared import size_options

CLIPPING_MODES = ("disabled", "value", "norm")
LATENT_METHODS = ("once", "deterministic", "random")
_TRAIN_WIDTH, _TRAIN_HEIGHT = size_options("Size at which the pictures are trained and previews are made,", "training_")


@dataclass(frozen=True)
class A1111TrainOptions(Settings):
    """What A1111's Train tab asks."""

    embedding: str = option(
        "",
        "Embedding",
        "dropdown",
        "The new word to train. Make one in the Create embedding tab first.",
        required=True,
        a1111="embedding_name",
        changes_plan=True,
        positional=True,
    )
    learning_rate: str = option(
        "0.005",
        "Embedding Learning rate",
        "textbox",
        "Write how big each step is: a number, or several such as 0.05:10, 0.02:20, 0.005 (the first until step 10).",
        required=True,
        a1111="learn_rate",
        takes_number=True,
    )
    clip_grad_mode: str = option(
        "disabled",
        "Gradient Clipping",
        "dropdown",
        "Keep disabled. value and norm limit single big steps to the value beside it.",
        choices=CLIPPING_MODES,
        a1111="clip_grad_mode",
    )
    clip_grad_value: str = option(
        "0.1",
        "Gradient clip value",
        "textbox",
        "The limit for Gradient Clipping: a number, or a schedule as for the learning rate.",
        placeholder="Gradient clip value",
        a1111="clip_grad_value",
        takes_number=True,
    )
    batch_size: int = option(
        1,
        "Batch size",
        "number",
        "Pictures looked at together. Choose 2 or 3.",
        minimum=1,
        step=1,
        a1111="batch_size",
        changes_plan=True,
    )
    gradient_accumulation_steps: int = option(
        1,
        "Gradient accumulation steps",
        "number",
        "Choose the number of your photos: then one step looks at every picture once.",
        minimum=1,
        step=1,
        a1111="gradient_step",
        changes_plan=True,
    )
    dataset_directory: str = option(
        "",
        "Dataset directory",
        "textbox",
        "Type the folder with the finished pictures.",
        placeholder="Path to directory with input images",
        required=True,
        is_path=True,
        a1111="data_root",
        changes_plan=True,
    )
    log_directory: str = option(
        "textual_inversion",
        "Log directory",
        "textbox",
        "Keep textual_inversion. Previews and copies are saved in a dated folder there.",
        placeholder="Path to directory where to write outputs",
        required=True,
        is_path=True,
        a1111="log_directory",
    )
    template_file: str = option(
        "style_filewords.txt",
        "Prompt template",
        "dropdown",
        "The sentences of the training. For a person choose Custom_subject_filewords.txt: it uses your captions.",
        required=True,
        a1111="template_file",
        changes_plan=True,
        flag="--template",
    )
    width: int = _TRAIN_WIDTH
    height: int = _TRAIN_HEIGHT
    keep_size: bool = option(
        False,
        "Do not resize images",
        "checkbox",
        "Trains every picture at its own size. Leave it off for pictures of the Preprocess tab.",
        a1111="varsize",
        changes_plan=True,
    )
    steps: int = option(
        100_000,
        "Max steps",
        "number",
        "Training ends at this step. 150 is enough for a face.",
        minimum=1,
        step=1,
        a1111="steps",
        changes_plan=True,
    )
    image_every: int = option(
        500,
        "Save an image to log directory every N steps, 0 to disable",
        "number",
        "How often to paint a preview. Choose 10.",
        minimum=0,
        step=1,
        a1111="create_image_every",
        changes_plan=True,
        other_ranks=0,
    )
    save_every: int = option(
        500,
        "Save a copy of embedding to log directory every N steps, 0 to disable",
        "number",
        "How often to keep a copy that you can go back to. Choose 10.",
        minimum=0,
        step=1,
        a1111="save_embedding_every",
        other_ranks=0,
    )
    alpha_as_weight: bool = option(
        False,
        "Use PNG alpha channel as loss weight",
        "checkbox",
        "Learns only what is not transparent. Leave it off for photos.",
        a1111="use_weight",
        evaluation_field=2,
    )
    cards: bool = option(
        True,
        "Save images with embedding in PNG chunks",
        "checkbox",
        "Also saves each preview as a picture with the embedding inside, to share it.",
        a1111="save_image_with_stored_embedding",
    )
    preview_from_txt2img: bool = option(
        False,
        "Read parameters (prompt, etc...) from txt2img tab when making previews",
        "checkbox",
        "Previews show the txt2img tab's prompt. Write the embedding's name into it.",
        a1111="preview_from_txt2img",
        page_only=True,
    )
    shuffle_tags: bool = option(
        False,
        "Shuffle tags by ',' when creating prompts.",
        "checkbox",
        "Mixes the caption's parts each time. Tick it: the word then learns the person, not one sentence.",
        a1111="shuffle_tags",
    )
    tag_drop_out: float = option(
        0.0,
        "Drop out tags when creating prompts.",
        "slider",
        "How much of a caption is left out by chance. Choose 0.1.",
        minimum=0,
        maximum=1,
        step=0.1,
        a1111="tag_drop_out",
    )
    latent_sampling_method: str = option(
        "once",
        "Choose latent sampling method",
        "radio",
        "Choose deterministic: the cleanest, and always the same.",
        choices=LATENT_METHODS,
        a1111="latent_sampling_method",
    )
