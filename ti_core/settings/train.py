"""The options of the Train tab (A1111 1.10.1, modules/ui.py), and those of going on with a run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ti_core.errors import SettingsError
from ti_core.settings.option import Group, Settings, option
from ti_core.settings.prompts import split_at_names
from ti_core.settings.schedule import parse_schedule
from ti_core.settings.shared import (
    MAX_SIZE_PX,
    MIN_SIZE_PX,
    OWN_SIZE,
    SAMPLERS,
    checkpoint_option,
    clip_skip_option,
    precision_option,
    prediction_option,
    rescale_option,
    size_options,
    switch,
    vae_option,
)

CLIPPING_MODES = ("disabled", "value", "norm")
LATENT_METHODS = ("once", "deterministic", "random")
NORM_CONTROLS = ("none", "soft pull", "direction only")
MORE = Group("more", "Seed, loss table and previews")
QUALITY = Group("quality", "Length of the vectors, evaluation and early stop")
MEMORY = Group("memory", "Memory")
WITH_EACH_PREVIEW = -1
OF_THE_RUN, OF_EACH_STEP = "same for the whole run", "the prompt of the step (A1111)"
_TRAIN_WIDTH, _TRAIN_HEIGHT = size_options("Size at which the pictures are trained and previews are made,", "training_")


def _preview_size(side: str) -> Any:
    return option(
        OWN_SIZE,
        f"Preview {side.lower()}",
        "number",
        f"In pixels. Keep 0: the {side} of the training. Larger previews take longer and need more memory.",
        minimum=0,
        maximum=MAX_SIZE_PX,
        step=8,
    )


@dataclass(frozen=True)
class TrainSettings(Settings):
    """The Train sub-tab (A1111 1.10.1, modules/ui.py), in its order, then ours."""

    embedding: str = option(
        "",
        "Embedding",
        "dropdown",
        "Choose the embedding to train. Make one in the Create embedding tab first.",
        required=True,
        a1111="embedding_name",
        changes_plan=True,
        positional=True,
    )
    learning_rate: str = option(
        "0.005",
        "Embedding Learning rate",
        "textbox",
        "Write how big each step is: a number, or a schedule such as 0.05:10, 0.02:20, 0.005 (the first until step 10,"
        " then the next). Too high breaks the embedding.",
        required=True,
        a1111="learn_rate",
        takes_number=True,
    )
    clip_grad_mode: str = option(
        "disabled",
        "Gradient Clipping",
        "dropdown",
        "Limits single big steps. Keep disabled. value cuts each number of the gradient, norm its length, to the value"
        " beside it.",
        choices=CLIPPING_MODES,
        a1111="clip_grad_mode",
    )
    clip_grad_value: str = option(
        "0.1",
        "Gradient clip value",
        "textbox",
        "The limit for Gradient Clipping: a number, or a schedule as for the learning rate. Not used while clipping is"
        " disabled.",
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
        "How many batches make one step. Choose the number of your photos: then one step looks at every picture once.",
        minimum=1,
        step=1,
        a1111="gradient_step",
        changes_plan=True,
    )
    dataset_directory: str = option(
        "",
        "Dataset directory",
        "textbox",
        "Type the folder with the finished pictures and their .txt captions.",
        placeholder="Path to directory with input images",
        required=True,
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
        a1111="log_directory",
    )
    template_file: str = option(
        "style_filewords.txt",
        "Prompt template",
        "dropdown",
        "Choose the sentences used in training. For a person take Custom_subject_filewords.txt or"
        " subject_filewords.txt, which use your captions.",
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
        "Trains every picture at its own size instead. Leave it off unless your pictures have the right sizes already.",
        a1111="varsize",
        changes_plan=True,
    )
    steps: int = option(
        100_000,
        "Max steps",
        "number",
        "Training ends at this step. 150 is enough for the face recipe.",
        minimum=1,
        step=1,
        a1111="steps",
        changes_plan=True,
    )
    image_every: int = option(
        500,
        "Save an image to log directory every N steps, 0 to disable",
        "number",
        "How often to paint a preview. 10 lets you watch closely; each one takes some time.",
        minimum=0,
        step=1,
        a1111="create_image_every",
        other_ranks=0,
    )
    save_every: int = option(
        500,
        "Save a copy of embedding to log directory every N steps, 0 to disable",
        "number",
        "How often to keep a copy, so that you can go back to the best step. Choose the same number as above.",
        minimum=0,
        step=1,
        a1111="save_embedding_every",
        other_ranks=0,
    )
    alpha_as_weight: bool = option(
        False,
        "Use PNG alpha channel as loss weight",
        "checkbox",
        "Learns only the parts of a picture that are not transparent. Leave it off for photos; pictures from the"
        " Preprocess tab have no transparent parts.",
        a1111="use_weight",
        evaluation_field=2,
    )
    cards: bool = option(
        True,
        "Save images with embedding in PNG chunks",
        "checkbox",
        "Also saves each preview as a picture that carries the embedding inside. Such a picture can be shared like a"
        " file.",
        a1111="save_image_with_stored_embedding",
    )
    preview_from_txt2img: bool = option(
        False,
        "Read parameters (prompt, etc...) from txt2img tab when making previews",
        "checkbox",
        "Previews then show the prompts of the txt2img tab, with its sampling method, steps, size, CFG Scale and seed."
        " Write the embedding's name into that prompt.",
        a1111="preview_from_txt2img",
        page_only=True,
    )
    shuffle_tags: bool = option(
        False,
        "Shuffle tags by ',' when creating prompts.",
        "checkbox",
        "Mixes the order of the caption's parts each time. Tick it: the word then learns the person, not one sentence.",
        a1111="shuffle_tags",
    )
    tag_drop_out: float = option(
        0.0,
        "Drop out tags when creating prompts.",
        "slider",
        "Share of the caption's parts that is left out by chance each time. Choose 0.1.",
        minimum=0,
        maximum=1,
        step=0.1,
        a1111="tag_drop_out",
    )
    latent_sampling_method: str = option(
        "once",
        "Choose latent sampling method",
        "radio",
        "How pictures enter the model. Choose deterministic: the cleanest and always the same.",
        choices=LATENT_METHODS,
        a1111="latent_sampling_method",
    )
    seed: int = option(
        0,
        "Seed",
        "number",
        "The same seed with the same settings gives the same embedding. Any whole number from 0 on will do.",
        minimum=0,
        maximum=2**32 - 1,
        step=1,
        group=MORE,
        evaluation_field=1,
    )
    csv_every: int = option(
        1,
        "Save an csv containing the loss to log directory every N steps, 0 to disable",
        "number",
        "How often a row is added to textual_inversion_loss.csv. Keep 1.",
        minimum=0,
        step=1,
        other_ranks=0,
    )
    tensorboard: bool = option(
        False,
        "Enable tensorboard logging.",
        "checkbox",
        "Also writes loss and rate for the program TensorBoard. Leave it off if you do not use it.",
        other_ranks=False,
    )
    tensorboard_images: bool = option(
        False,
        "Save generated images within tensorboard.",
        "checkbox",
        "Also shows the previews there. Only with tensorboard logging.",
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
        "Saves Optimizer state as separate *.optim file. Training of embedding can be resumed with the matching optim"
        " file.",
        "checkbox",
        "Keep it ticked: training on later then continues exactly where it ended.",
    )
    filename_word_regex: str = option(
        "",
        "Filename word regex",
        "textbox",
        "Leave it empty. For pictures without a .txt, those who know regular expressions may say which parts of the"
        " file name are words, such as [a-z]+.",
    )
    filename_join_string: str = option(
        " ",
        "Filename join string",
        "textbox",
        "What stands between the words found by the field above. Keep the space.",
    )
    preview_prompt: str = option(
        "",
        "Preview prompt",
        "textbox",
        "What previews show. Empty takes a prompt of the training itself; your own must contain the embedding's name.",
    )
    preview_prompts: str = option(
        OF_THE_RUN,
        "Where Preview prompt is empty",
        "radio",
        "Keep same for the whole run: one prompt of the training, drawn by the Seed, so that only the training changes"
        " the picture. The other takes a new one each time.",
        choices=(OF_THE_RUN, OF_EACH_STEP),
    )
    preview_negative_prompt: str = option(
        "", "Preview negative prompt", "textbox", "What previews should not show. May stay empty."
    )
    preview_sampler: str = option(
        SAMPLERS[0],
        "Preview sampling method",
        "dropdown",
        "How previews are worked out of noise. Keep DPM++ 2M Karras.",
        choices=SAMPLERS,
    )
    preview_steps: int = option(
        12,
        "Preview sampling steps",
        "slider",
        "12 shows what there is to see; more paint a little finer and take longer.",
        minimum=1,
        maximum=150,
        step=1,
    )
    preview_cfg_scale: float = option(
        7.0,
        "Preview CFG Scale",
        "slider",
        "How strictly previews follow the prompt. Keep 7.",
        minimum=1,
        maximum=30,
        step=0.5,
    )
    preview_guidance_rescale: float = rescale_option("Preview guidance rescale")
    preview_seed: int = option(
        1,
        "Preview seed",
        "number",
        "The same seed each time, so that only the training changes the picture. -1 draws a new one for each preview.",
        minimum=-1,
        maximum=2**32 - 1,
        step=1,
    )
    preview_width: int = _preview_size("Width")
    preview_height: int = _preview_size("Height")
    norm_control: str = option(
        "none",
        "Length of the vectors",
        "dropdown",
        "Keep none with the face recipe, as A1111 does. direction only keeps the word as strong as ordinary words, so"
        " that the rest of the prompt is obeyed better (Fast and faithful has it); soft pull draws it there a little at"
        " each step.",
        choices=NORM_CONTROLS,
        reset_by_presets=True,
        group=QUALITY,
    )
    average_decay: float = option(
        0.0,
        "Average of the vectors (EMA)",
        "slider",
        "Keep 0, as A1111 does. 0.9 saves and shows the average of about the last ten steps, which calms a training"
        " that jumps.",
        minimum=0,
        maximum=0.999,
        step=0.001,
        reset_by_presets=True,
    )
    evaluate_every: int = option(
        WITH_EACH_PREVIEW,
        "Evaluate every N steps, 0 to disable",
        "number",
        "Tests each step on the same pictures, so that steps can be compared, and marks the best one. Keep -1: with"
        " each preview, or more rarely where that would take too long.",
        minimum=WITH_EACH_PREVIEW,
        step=1,
        reset_by_presets=True,
        other_ranks=0,
    )
    held_out: int = option(
        0,
        "Photos held out for the evaluation",
        "number",
        "So many photos are not trained on, and the evaluation looks at them alone. Choose a tenth if you have 40 or"
        " more; 0 evaluates on the training pictures.",
        minimum=0,
        step=1,
        changes_plan=True,
        reset_by_presets=True,
    )
    early_stop: int = option(
        0,
        "Stop after N evaluations without a better one, 0 to disable",
        "number",
        "Keep 0 with the face recipe: it trains to Max steps. 2 ends the training when two evaluations in a row were no"
        " better than the best.",
        minimum=0,
        step=1,
        reset_by_presets=True,
    )
    micro_batch: int = option(
        0,
        "Pictures at once",
        "number",
        "How many pictures are on the device together. 0 chooses what fits; the result is the same. Choose 1 if memory"
        " runs out.",
        minimum=0,
        step=1,
        changes_plan=True,
        group=MEMORY,
    )
    gradient_checkpointing: str = switch(
        "Gradient checkpointing",
        "Keep Automatic. on needs much less memory and takes nearly half as long again; the result is the same.",
        changes_plan=True,
    )
    vae_to_ram: str = switch(
        "Move VAE to RAM when training. Saves VRAM.",
        "Keep Automatic: it makes room where the device's memory is short, and is brought back for each preview.",
        changes_plan=True,
    )
    encoders_to_ram: str = switch(
        "Move CLIP to RAM when training. Saves VRAM.",
        "Keep Automatic. on runs the text encoders on the processor, which makes each step some seconds longer.",
        changes_plan=True,
    )
    compile_unet: str = switch(
        "Compile the UNet",
        "Keep Automatic: on for long trainings on an NVIDIA card, if it computes the same. It takes a minute or two at"
        " the start.",
    )
    gpus: int = option(
        1,
        "GPUs",
        "number",
        "How many graphics cards share each step's pictures. Choose all that this computer has, but no more than a step"
        " has pictures; the result is the same.",
        minimum=1,
        step=1,
        changes_plan=True,
    )
    vae_slicing: str = switch(
        "VAE slicing",
        "Keep Automatic. on decodes previews one by one and in parts, for large pictures on small cards.",
        changes_plan=True,
    )
    checkpoint: str = checkpoint_option()
    vae: str = vae_option()
    prediction_type: str = prediction_option()
    precision: str = precision_option(changes_plan=True, evaluation_field=3)
    clip_skip: int = clip_skip_option()

    def problems(self) -> list[str]:
        """Those of each value, and schedules, expressions and prompts that cannot be used."""
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
            found.append(
                f"Filename word regex '{self.filename_word_regex}' cannot be read: {error.msg}. Correct it or leave it"
                " empty."
            )
        name = self.embedding.strip()
        if (
            self.preview_prompt.strip()
            and name
            and not any(found for found, _ in split_at_names(self.preview_prompt, [name]))
        ):
            found.append(
                f"Preview prompt does not contain the embedding's name '{name}', so previews could not show it. Add the"
                " name or leave the prompt empty."
            )
        for label, size in (("Preview width", self.preview_width), ("Preview height", self.preview_height)):
            if 0 < size < MIN_SIZE_PX:
                found.append(f"{label} is {size}. Choose 0, for the size of the training, or {MIN_SIZE_PX} and more.")
        return found


@dataclass(frozen=True)
class ResumeSettings(Settings):
    """Going on with a training that was interrupted; its own settings lie in the run's folder."""

    run_folder: str = option(
        "",
        "Run folder",
        "textbox",
        "Type the folder of the run, such as textual_inversion/2026-01-31/anna. It must hold a state.safetensors.",
        required=True,
        positional=True,
    )
