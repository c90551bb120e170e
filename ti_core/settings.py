"""Every option of the page and of the command line, declared once: default, A1111 label, help text, range.

The same frozen objects travel from the page, the command line and the settings file to the worker. `problems()` looks at
the values alone; what is on disk is checked where it is used.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ti_core.errors import SettingsError
from ti_core.options import Settings, option
from ti_core.schedule import parse_schedule

PORTRAITS = "Portraits (built in)"
OWN_SIZE = 0
AUTOMATIC = "Automatic"
"""The choice that leaves a decision to the file or to the device."""
CAPTION_ACTIONS = ("ignore", "copy", "prepend", "append")
PREDICTION_TYPES = (AUTOMATIC, "epsilon", "v_prediction")
PRECISIONS = (AUTOMATIC, "bfloat16", "float16", "float32")
SWITCHES = (AUTOMATIC, "on", "off")
CLIPPING_MODES = ("disabled", "value", "norm")
LATENT_METHODS = ("once", "deterministic", "random")
NORM_CONTROLS = ("none", "soft pull", "direction only")
NOISE_SPREADS = ("independent", "even", "even, paired noise")
WITH_EACH_PREVIEW = -1
SAMPLERS = ("DPM++ 2M Karras", "Euler a", "Euler", "DDIM", "UniPC")
MAX_SIZE_PX = 2048


def _size_options(what: str, a1111_prefix: str = "") -> tuple[Any, Any]:
    more = {"minimum": 64, "maximum": MAX_SIZE_PX, "step": 8, "zero_is_auto": True}
    text = f"{what} in pixels. Keep the checkpoint's own size (512 for Stable Diffusion 1)."
    return tuple(option(OWN_SIZE, label, "slider", text, a1111=a1111_prefix + label.lower(), **more) for label in ("Width", "Height"))


# ---- how the checkpoint is loaded: the same options for training and painting; on the page they stand at the top, as in A1111


def _checkpoint_option() -> Any:
    text = "Choose the model that learns the new word. Portraits is small and built in; it needs no download and no GPU."
    return option(PORTRAITS, "Stable Diffusion checkpoint", "dropdown", text, required=True)


def _vae_option() -> Any:
    return option(
        AUTOMATIC, "SD VAE", "dropdown",
        "Keep Automatic: the checkpoint's own, or the file of the same name beside it. Choose a file of models/VAE if colours look pale.", required=True,
    )  # fmt: skip


def _prediction_option() -> Any:
    return option(
        AUTOMATIC, "Prediction type", "dropdown",
        "Keep Automatic. If previews of a Stable Diffusion 2 or a v-prediction checkpoint are mere noise, choose the other one.", choices=PREDICTION_TYPES,
    )  # fmt: skip


def _precision_option() -> Any:
    return option(
        AUTOMATIC, "Precision", "dropdown",
        "Keep Automatic: the fastest that this device computes well. float32 is exact, and needs twice the memory.", choices=PRECISIONS,
    )  # fmt: skip


def _clip_skip_option() -> Any:
    return option(
        1, "Clip skip", "slider", "Keep 1. Choose 2 only for checkpoints that say so, such as anime ones. SDXL has its own and ignores it.",
        minimum=1, maximum=12, step=1,
    )  # fmt: skip


def _switch(label: str, help: str) -> Any:
    return option(AUTOMATIC, label, "radio", help, choices=SWITCHES)


@dataclass(frozen=True)
class CreateSettings(Settings):
    """The Create embedding tab (reference 1.1)."""

    name: str = option(
        "", "Name", "textbox", "Type a new word for the person, such as anna-01. It becomes the file name and the word for prompts.", required=True
    )
    initialization_text: str = option(
        "*",
        "Initialization text",
        "textbox",
        "What the new word means before training. Keep * or write a rough description, such as woman. Empty starts from zero.",
        a1111="init_text",
    )
    vectors: int = option(
        1, "Number of vectors per token", "slider", "How much the word can hold. Start with 1; more vectors learn more but follow the prompt less.",
        minimum=1, maximum=75, step=1, a1111="num_vectors_per_token")  # fmt: skip
    overwrite: bool = option(
        False, "Overwrite Old Embedding", "checkbox", "Tick to replace an embedding of the same name. Its training is lost.", a1111="overwrite_old"
    )
    checkpoint: str = _checkpoint_option()


RESIZING_OBJECTIVES = ("Maximize area", "Minimize error")
BLIP_MODELS = ("blip-image-captioning-base", "blip-image-captioning-large")
MAX_AREA_PX = MAX_SIZE_PX * MAX_SIZE_PX


def _share(default: float, label: str, help: str, highest: float = 1, step: float = 0.05, a1111: str = "") -> Any:
    return option(default, label, "slider", help, minimum=0, maximum=highest, step=step, a1111=a1111)


@dataclass(frozen=True)
class PreprocessSettings(Settings):
    """The Preprocess images tab (reference 1.4), in its order, then ours."""

    source_directory: str = option(
        "",
        "Source directory",
        "textbox",
        "Type the folder with your photos, or drop photos into the box below.",
        placeholder="Path to directory with input images",
        required=True,
        a1111="process_src",
    )
    destination_directory: str = option(
        "", "Destination directory", "textbox", "Type where the finished pictures go. The folder is made if it is missing.", placeholder="Path to directory for the pictures to train on",
        required=True, a1111="process_dst")  # fmt: skip
    width: int = option(
        512, "Width", "slider", "Width of the finished pictures in pixels. Keep 512.", minimum=64, maximum=MAX_SIZE_PX, step=8, a1111="process_width"
    )
    height: int = option(
        512,
        "Height",
        "slider",
        "Height of the finished pictures in pixels. Keep 512 for square pictures.",
        minimum=64,
        maximum=MAX_SIZE_PX,
        step=8,
        a1111="process_height",
    )
    caption_action: str = option(
        "ignore", "Existing Caption txt Action", "dropdown",
        "What to do with a .txt file beside a photo: copy keeps it; prepend and append join it with a new caption; ignore leaves it out.",
        choices=CAPTION_ACTIONS, a1111="preprocess_txt_action")  # fmt: skip
    keep_original_size: bool = option(
        False,
        "Keep original size",
        "checkbox",
        "Pictures that no crop below has changed keep their size. Train them with Do not resize images.",
        a1111="process_keep_original_size",
    )
    flip: bool = option(
        False,
        "Create flipped copies",
        "checkbox",
        "Adds a mirrored copy of every picture. Tick it if you have few photos and the face looks the same mirrored.",
        a1111="process_flip",
    )
    split_oversized: bool = option(
        False,
        "Split oversized images",
        "checkbox",
        "Cuts very long or very tall photos into several pictures that overlap. Not needed for faces.",
        a1111="process_split",
    )
    focal_crop: bool = option(
        False,
        "Auto focal point crop",
        "checkbox",
        "Crops around what matters in the photo, first of all faces, instead of around the middle.",
        a1111="process_focal_crop",
    )
    auto_sized_crop: bool = option(
        False,
        "Auto-sized crop",
        "checkbox",
        "Each picture gets the width and height that fit its shape best, and is cropped around the middle.",
        a1111="process_multicrop",
    )
    blip_caption: bool = option(
        False,
        "Use BLIP for caption",
        "checkbox",
        "A model writes a sentence about each picture. docs/captions.md says where its files go.",
        a1111="process_caption",
    )
    booru_caption: bool = option(
        False, "Use deepbooru for caption", "checkbox",
        "A model lists tags for each picture. It is the newer WD tagger, not deepbooru itself; docs/captions.md says where its files go.", a1111="process_caption_deepbooru")  # fmt: skip
    split_threshold: float = _share(
        0.5,
        "Split image threshold",
        "How long a photo must be to be split: 0.5 means twice as long as the finished picture. 1 splits whatever is longer.",
        a1111="split_threshold",
    )
    split_overlap: float = _share(
        0.2, "Split image overlap ratio", "Which share of each piece is also on the next one, at least.", highest=0.9, a1111="overlap_ratio"
    )
    face_weight: float = _share(
        0.9, "Focal point face weight", "How strongly faces pull the crop. 0 does not look for faces.", a1111="process_focal_crop_face_weight"
    )
    entropy_weight: float = _share(
        0.15,
        "Focal point entropy weight",
        "How strongly the part with the rarest light and dark pulls the crop. 0 does not look.",
        a1111="process_focal_crop_entropy_weight",
    )
    edges_weight: float = _share(
        0.5, "Focal point edges weight", "How strongly corners and edges pull the crop. 0 does not look for them.", a1111="process_focal_crop_edges_weight"
    )
    debug_image: bool = option(
        False,
        "Create debug image",
        "checkbox",
        "Also saves pictures that show what pulled the crop, in the folder debug of the destination. They are not trained on.",
        a1111="process_focal_crop_debug",
    )
    dimension_lower: int = option(
        384,
        "Dimension lower bound",
        "slider",
        "No side of a picture gets shorter than this.",
        minimum=64,
        maximum=MAX_SIZE_PX,
        step=8,
        a1111="process_multicrop_mindim",
    )
    dimension_upper: int = option(
        768,
        "Dimension upper bound",
        "slider",
        "No side of a picture gets longer than this.",
        minimum=64,
        maximum=MAX_SIZE_PX,
        step=8,
        a1111="process_multicrop_maxdim",
    )
    area_lower: int = option(
        64 * 64,
        "Area lower bound",
        "slider",
        "Width times height is at least this many pixels.",
        minimum=64 * 64,
        maximum=MAX_AREA_PX,
        step=1,
        a1111="process_multicrop_minarea",
    )
    area_upper: int = option(
        640 * 640,
        "Area upper bound",
        "slider",
        "Width times height is at most this many pixels.",
        minimum=64 * 64,
        maximum=MAX_AREA_PX,
        step=1,
        a1111="process_multicrop_maxarea",
    )
    resizing_objective: str = option(
        "Maximize area", "Resizing objective", "radio", "Maximize area takes the largest size that fits; Minimize error the one with the closest shape.",
        choices=RESIZING_OBJECTIVES, a1111="process_multicrop_objective")  # fmt: skip
    error_threshold: float = _share(0.1, "Error threshold", "Which share of a photo may be cut away at most.", step=0.01, a1111="process_multicrop_threshold")
    face_crop: bool = option(
        False, "Face crop to square", "checkbox",
        "The guide's first step: cuts head and shoulders out around the one face. Pictures with no face or several are named, so that you can crop them by hand.",
    )  # fmt: skip
    blip_model: str = option(BLIP_MODELS[0], "BLIP model", "dropdown", "Keep base. large writes a little better and needs more memory.", choices=BLIP_MODELS)
    blip_min_length: int = option(
        24, "BLIP: minimum description length", "slider", "In tokens, about one a word. 24 makes it repeat itself; try 8.", minimum=1, maximum=128, step=1
    )
    blip_max_length: int = option(48, "BLIP: maximum description length", "slider", "In tokens, about one a word.", minimum=1, maximum=256, step=1)
    blip_beams: int = option(
        1, "BLIP: num_beams", "slider", "How many sentences are followed at a time. More write better and take longer.", minimum=1, maximum=16, step=1
    )
    booru_threshold: float = _share(
        0.5, "deepbooru: score threshold", "Tags the model is less sure of are left out. A lower number lists more tags.", step=0.01
    )

    def problems(self) -> list[str]:
        found = super().problems()
        pairs = [("dimension_lower", "dimension_upper"), ("area_lower", "area_upper")] if self.auto_sized_crop else []
        pairs += [("blip_min_length", "blip_max_length")] if self.blip_caption else []
        for low, high in pairs:
            least, most = getattr(self, low), getattr(self, high)
            if least > most:
                labels = self.options()
                found.append(f"{labels[low].label} is {least}, more than {labels[high].label}, {most}. Lower the first or raise the second.")
        return found


_TRAIN_WIDTH, _TRAIN_HEIGHT = _size_options("Size at which the pictures are trained and previews are made,", "training_")


@dataclass(frozen=True)
class TrainSettings(Settings):
    """The Train sub-tab (reference 1.3), in its order, then ours."""

    embedding: str = option(
        "", "Embedding", "dropdown", "Choose the embedding to train. Make one in the Create embedding tab first.", required=True, a1111="embedding_name"
    )
    learning_rate: str = option(
        "0.005", "Embedding Learning rate", "textbox",
        "Write how big each step is: a number, or a schedule such as 0.05:10, 0.02:20, 0.005 (the first until step 10, then the next). Too high breaks the embedding.",
        required=True, a1111="learn_rate")  # fmt: skip
    clip_grad_mode: str = option(
        "disabled",
        "Gradient Clipping",
        "dropdown",
        "Limits single big steps. Keep disabled. value cuts each number of the gradient, norm its length, to the value beside it.",
        choices=CLIPPING_MODES,
        a1111="clip_grad_mode",
    )
    clip_grad_value: str = option(
        "0.1",
        "Gradient clip value",
        "textbox",
        "The limit for Gradient Clipping: a number, or a schedule as for the learning rate. Not used while clipping is disabled.",
        placeholder="Gradient clip value",
        a1111="clip_grad_value",
    )
    batch_size: int = option(1, "Batch size", "number", "Pictures looked at together. Choose 2 or 3.", minimum=1, step=1, a1111="batch_size")
    gradient_accumulation_steps: int = option(
        1, "Gradient accumulation steps", "number",
        "How many batches make one step. Choose the number of your photos: then one step looks at every picture once.",
        minimum=1, step=1, a1111="gradient_step")  # fmt: skip
    dataset_directory: str = option(
        "",
        "Dataset directory",
        "textbox",
        "Type the folder with the finished pictures and their .txt captions.",
        placeholder="Path to directory with input images",
        required=True,
        a1111="data_root",
    )
    log_directory: str = option(
        "textual_inversion", "Log directory", "textbox", "Keep textual_inversion. Previews and copies are saved in a dated folder there.", placeholder="Path to directory where to write outputs",
        required=True, a1111="log_directory")  # fmt: skip
    template_file: str = option(
        "style_filewords.txt",
        "Prompt template",
        "dropdown",
        "Choose the sentences used in training. For a person take one that begins with subject, or the recipe's own.",
        required=True,
        a1111="template_file",
    )
    width: int = _TRAIN_WIDTH
    height: int = _TRAIN_HEIGHT
    keep_size: bool = option(
        False,
        "Do not resize images",
        "checkbox",
        "Trains every picture at its own size instead. Leave it off unless your pictures have the right sizes already.",
        a1111="varsize",
    )
    steps: int = option(100_000, "Max steps", "number", "Training ends at this step. 150 is enough for the face recipe.", minimum=1, step=1, a1111="steps")
    image_every: int = option(
        500, "Save an image to log directory every N steps, 0 to disable", "number", "How often to paint a preview. 10 lets you watch closely; each one takes some time.",
        minimum=0, step=1, a1111="create_image_every")  # fmt: skip
    save_every: int = option(
        500, "Save a copy of embedding to log directory every N steps, 0 to disable", "number",
        "How often to keep a copy, so that you can go back to the best step. Choose the same number as above.",
        minimum=0, step=1, a1111="save_embedding_every")  # fmt: skip
    alpha_as_weight: bool = option(
        False,
        "Use PNG alpha channel as loss weight",
        "checkbox",
        "For pictures whose background was made transparent: only what is opaque is learned. Leave it off for ordinary photos.",
        a1111="use_weight",
    )
    cards: bool = option(
        True,
        "Save images with embedding in PNG chunks",
        "checkbox",
        "Also saves each preview as a picture that carries the embedding inside. Such a picture can be shared like a file.",
        a1111="save_image_with_stored_embedding",
    )
    preview_from_txt2img: bool = option(
        False,
        "Read parameters (prompt, etc...) from txt2img tab when making previews",
        "checkbox",
        "Previews then show the prompt of the txt2img tab, with its steps, CFG Scale and seed. Write the embedding's name into that prompt.",
        a1111="preview_from_txt2img",
    )
    shuffle_tags: bool = option(
        False,
        "Shuffle tags by ',' when creating prompts.",
        "checkbox",
        "Mixes the order of the caption's parts each time. Tick it: the word then learns the person, not one sentence.",
        a1111="shuffle_tags",
    )
    tag_drop_out: float = option(
        0.0, "Drop out tags when creating prompts.", "slider", "Share of the caption's parts that is left out by chance each time. Choose 0.1.",
        minimum=0, maximum=1, step=0.1, a1111="tag_drop_out")  # fmt: skip
    latent_sampling_method: str = option(
        "once", "Choose latent sampling method", "radio", "How pictures enter the model. Choose deterministic: the cleanest and always the same.",
        choices=LATENT_METHODS, a1111="latent_sampling_method")  # fmt: skip
    seed: int = option(
        0, "Seed", "number", "The same seed with the same settings gives the same embedding. Any whole number will do.", minimum=0, maximum=2**32 - 1, step=1
    )
    csv_every: int = option(
        1, "Save an csv containing the loss to log directory every N steps, 0 to disable", "number", "How often a row is added to textual_inversion_loss.csv. Keep 1.",
        minimum=0, step=1,
    )  # fmt: skip
    tensorboard: bool = option(
        False, "Enable tensorboard logging.", "checkbox", "Also writes loss and rate for the program TensorBoard. Leave it off if you do not use it."
    )
    tensorboard_images: bool = option(
        False, "Save generated images within tensorboard.", "checkbox", "Also shows the previews there. Only with tensorboard logging."
    )
    tensorboard_flush_s: int = option(
        120,
        "How often, in seconds, to flush the pending tensorboard events and summaries to disk.",
        "number",
        "Smaller numbers show new points in TensorBoard earlier. Keep 120.",
        minimum=1,
        step=1,
    )
    save_optimizer_state: bool = option(
        True,
        "Saves Optimizer state as separate *.optim file. Training of embedding can be resumed with the matching optim file.",
        "checkbox",
        "Keep it ticked: training on later then continues exactly where it ended.",
    )
    filename_word_regex: str = option(
        "",
        "Filename word regex",
        "textbox",
        "For pictures without a .txt: which parts of the file name are words, such as [a-z]+. Empty takes the name without its leading digits.",
    )
    filename_join_string: str = option(" ", "Filename join string", "textbox", "What stands between the words that the regex above finds.")
    preview_prompt: str = option(
        "", "Preview prompt", "textbox", "What previews show. Empty takes a prompt of the training itself; your own must contain the embedding's name."
    )
    preview_negative_prompt: str = option("", "Preview negative prompt", "textbox", "What previews should not show. May stay empty.")
    preview_steps: int = option(
        20, "Preview sampling steps", "slider", "More steps paint finer previews and take longer. 20 is good.", minimum=1, maximum=150, step=1
    )
    preview_cfg_scale: float = option(7.0, "Preview CFG Scale", "slider", "How strictly previews follow the prompt. Keep 7.", minimum=1, maximum=30, step=0.5)
    preview_seed: int = option(
        1, "Preview seed", "number", "The same seed each time, so that only the training changes the picture. -1 draws a new one for each preview.",
        minimum=-1, maximum=2**32 - 1, step=1,
    )  # fmt: skip
    norm_control: str = option(
        "none", "Length of the vectors", "dropdown",
        "none is A1111's: long vectors may drown the rest of the prompt. soft pull draws them back to the length of the checkpoint's words; direction only keeps them there.",
        choices=NORM_CONTROLS,
    )  # fmt: skip
    noise_spread: str = option(
        "independent", "Timesteps and noise", "dropdown",
        "How much noise each picture gets. independent is A1111's: by chance. even spreads it over all amounts, so that every step is about the same task.",
        choices=NOISE_SPREADS,
    )  # fmt: skip
    average_decay: float = option(
        0.0, "Average of the vectors (EMA)", "slider",
        "Copies, previews and the result show a running average. 0 is off, as in A1111; 0.9 averages about ten steps.", minimum=0, maximum=0.999, step=0.001,
    )  # fmt: skip
    evaluate_every: int = option(
        WITH_EACH_PREVIEW, "Evaluate every N steps, 0 to disable", "number",
        "Measures the loss on the same pictures and noise each time, so that steps can be compared, and marks the best step. -1 does it with each preview.",
        minimum=WITH_EACH_PREVIEW, step=1,
    )  # fmt: skip
    held_out: int = option(
        0, "Photos held out for the evaluation", "number",
        "So many photos are not trained on, and the evaluation looks at them alone. Choose a tenth if you have 40 or more; 0 evaluates on the training pictures.",
        minimum=0, step=1,
    )  # fmt: skip
    early_stop: int = option(
        0, "Stop after N evaluations without a better one, 0 to disable", "number",
        "Ends the training when nothing has improved for so many evaluations. 0 trains to Max steps, as A1111 does.", minimum=0, step=1,
    )  # fmt: skip
    micro_batch: int = option(
        0, "Pictures at once", "number",
        "How many pictures are on the device together. 0 chooses what fits; the result is the same. Choose 1 if memory runs out.", minimum=0, step=1,
    )  # fmt: skip
    gradient_checkpointing: str = _switch(
        "Gradient checkpointing", "Keep Automatic. on needs much less memory and takes a third longer; the result is the same."
    )
    vae_to_ram: str = _switch(
        "Move VAE to RAM when training. Saves VRAM.", "Keep Automatic: it makes room where the device's memory is short, and is brought back for each preview."
    )
    encoders_to_ram: str = _switch(
        "Move CLIP to RAM when training. Saves VRAM.", "Keep Automatic. on runs the text encoders on the processor, which makes each step some seconds longer."
    )
    coarse_share: float = option(
        0.0, "Coarse to fine", "slider",
        "Which share of the steps, from the first, looks at pictures of three quarters of the size, which takes about half the time. 0 is A1111's way; try 0.5 if a training takes hours.",
        minimum=0, maximum=0.9, step=0.05,
    )  # fmt: skip
    compile_unet: str = _switch(
        "Compile the UNet", "Keep Automatic: on for long trainings on an NVIDIA card, if it computes the same. It takes a minute or two at the start."
    )
    vae_slicing: str = _switch("VAE slicing", "Keep Automatic. on decodes previews one by one and in parts, for large pictures on small cards.")
    checkpoint: str = _checkpoint_option()
    vae: str = _vae_option()
    prediction_type: str = _prediction_option()
    precision: str = _precision_option()
    clip_skip: int = _clip_skip_option()

    def problems(self) -> list[str]:
        found = super().problems()
        schedules = [("learning_rate", self.learning_rate)] if self.learning_rate.strip() else []
        if self.clip_grad_mode != "disabled":
            schedules.append(("clip_grad_value", self.clip_grad_value))
        for name, text in schedules:
            try:
                parse_schedule(text, self.options()[name].label)
            except SettingsError as error:
                found.extend(error.problems)
        try:
            re.compile(self.filename_word_regex)
        except re.error as error:
            found.append(f"Filename word regex '{self.filename_word_regex}' cannot be read: {error.msg}. Correct it or leave it empty.")
        name = self.embedding.strip()
        if self.preview_prompt.strip() and name and name.lower() not in self.preview_prompt.lower():
            found.append(
                f"Preview prompt does not contain the embedding's name '{name}', so previews could not show it. Add the name or leave the prompt empty."
            )
        return found


_PICTURE_WIDTH, _PICTURE_HEIGHT = _size_options("Size of the pictures,")


@dataclass(frozen=True)
class Txt2ImgSettings(Settings):
    """The txt2img tab, compact: what is needed to try an embedding."""

    prompt: str = option(
        "", "Prompt", "textbox",
        "Describe the picture. Write the name of any embedding among the words; several at once are fine. Brackets are plain text here.",
        placeholder="a photo of anna-01, smiling", required=True,
    )  # fmt: skip
    negative_prompt: str = option("", "Negative prompt", "textbox", "What the pictures should not show. Names of embeddings work here too. May stay empty.")
    sampler: str = option(SAMPLERS[0], "Sampling method", "dropdown", "How the picture is worked out of noise. Keep DPM++ 2M Karras.", choices=SAMPLERS)
    steps: int = option(20, "Sampling steps", "slider", "More steps paint finer pictures and take longer. 20 is good.", minimum=1, maximum=150, step=1)
    width: int = _PICTURE_WIDTH
    height: int = _PICTURE_HEIGHT
    count: int = option(
        1,
        "Batch count",
        "slider",
        "How many pictures to paint. Each has a seed of its own: the seed below, then the next ones.",
        minimum=1,
        maximum=100,
        step=1,
    )
    cfg_scale: float = option(7.0, "CFG Scale", "slider", "How strictly the pictures follow the prompt. Keep 7.", minimum=1, maximum=30, step=0.5)
    seed: int = option(
        -1, "Seed", "number", "The same seed with the same settings gives the same picture. -1 draws a new one.", minimum=-1, maximum=2**32 - 1, step=1
    )
    checkpoint: str = _checkpoint_option()
    vae: str = _vae_option()
    prediction_type: str = _prediction_option()
    precision: str = _precision_option()
    clip_skip: int = _clip_skip_option()


AS_TRAINED = "as trained"
COMPARED_STEPS = ("all", "every n-th", "best and neighbours")


@dataclass(frozen=True)
class CompareSettings(Settings):
    """The Compare tab: a grid of pictures, step by step. The run's own settings say which checkpoint and size."""

    run: str = option("", "Run", "dropdown", "Choose a training whose copies are to be compared. The newest is the first of the list.", required=True)
    steps: str = option(
        "all", "Steps", "radio", "Which copies to show: all, every n-th, or those around the best step of the evaluation.", choices=COMPARED_STEPS
    )
    every_nth: int = option(2, "Every n-th", "number", "2 shows every second copy. Only with every n-th.", minimum=1, step=1)
    prompts: str = option(
        "as trained\na sketch of [name]", "Prompts", "textbox",
        "One prompt a line; [name] stands for the embedding. The line as trained takes a prompt of the training itself.", required=True, lines=4,
    )  # fmt: skip
    seeds: str = option("1, 2", "Seeds", "textbox", "Whole numbers, separated by commas. The same seed paints the same scene with every step.", required=True)
    sampling_steps: int = option(20, "Sampling steps", "slider", "More steps paint finer pictures and take longer. 20 is good.", minimum=1, maximum=150, step=1)
    cfg_scale: float = option(7.0, "CFG Scale", "slider", "How strictly the pictures follow the prompt. Keep 7.", minimum=1, maximum=30, step=0.5)

    def problems(self) -> list[str]:
        found = super().problems()
        if self.seeds.strip() and not re.fullmatch(r"\s*\d{1,10}(\s*,\s*\d{1,10})*\s*,?\s*", self.seeds):
            found.append(f"Seeds are '{self.seeds}'. Type whole numbers separated by commas, such as 1, 2, 3.")
        for line in self.prompt_lines:
            if line != AS_TRAINED and "[name]" not in line:
                found.append(f"Prompt '{line}' does not contain [name], so all steps would paint the same. Add [name].")
        return found

    @property
    def prompt_lines(self) -> list[str]:
        return [line.strip() for line in self.prompts.splitlines() if line.strip()]

    @property
    def seed_numbers(self) -> list[int]:
        return [int(piece) for piece in self.seeds.split(",") if piece.strip()]


@dataclass(frozen=True)
class ResumeSettings(Settings):
    """Going on with a training that was interrupted; its own settings lie in the run's folder."""

    run_folder: str = option(
        "", "Run folder", "textbox", "Type the folder of the run, such as textual_inversion/2026-01-31/anna. It must hold a state.safetensors.", required=True
    )
