"""The options of the Train tab (A1111 1.10.1, modules/ui.py), and those of going on with a run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ti_core.errors import Problem, SettingsError, about
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
MOST_PREVIEW_PROMPTS = 4
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
    seed: int = option(
        0,
        "Seed",
        "number",
        "The same seed gives the same embedding again. Any whole number from 0 on will do.",
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
        "Leave it off if you do not use the program TensorBoard.",
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
        "Leave it empty. A regular expression says which parts of a file name are words, such as [a-z]+.",
    )
    filename_join_string: str = option(
        " ",
        "Filename join string",
        "textbox",
        "What stands between the words found by the field above. Keep the space.",
    )
    preview_prompt: str = option(
        "",
        "Preview prompts",
        "textbox",
        "Leave it empty, or write what previews show: one prompt a line, 4 at most, each with [name] for the embedding."
        " Every preview paints all of them.",
        lines=2,
    )
    preview_prompts: str = option(
        OF_THE_RUN,
        "Where Preview prompts is empty",
        "radio",
        "Keep same for the whole run: a prompt of the training, drawn by the Seed, and one that asks for something new"
        " (a santa hat with Portraits, else a sketch), which shows whether the model still obeys. The other takes a new"
        " prompt of the training each time.",
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
        "Keep none for the face recipe. direction only keeps the word from overruling a prompt; soft pull is gentler.",
        choices=NORM_CONTROLS,
        reset_by_presets=True,
        group=QUALITY,
    )
    average_decay: float = option(
        0.0,
        "Average of the vectors (EMA)",
        "slider",
        "Keep 0. 0.9 saves the average of about the last ten steps, which calms a training that jumps.",
        minimum=0,
        maximum=0.999,
        step=0.001,
        reset_by_presets=True,
    )
    evaluate_every: int = option(
        WITH_EACH_PREVIEW,
        "Evaluate every N steps, 0 to disable",
        "number",
        "Keep -1: a test looks for the best step with each preview, or more rarely where that takes too long.",
        minimum=WITH_EACH_PREVIEW,
        step=1,
        reset_by_presets=True,
        other_ranks=0,
    )
    held_out: int = option(
        0,
        "Photos held out for the evaluation",
        "number",
        "So many photos are kept for the test alone. Choose a tenth if you have 40 or more, else 0.",
        minimum=0,
        step=1,
        changes_plan=True,
        reset_by_presets=True,
    )
    early_stop: int = option(
        0,
        "Stop after N evaluations without a better one, 0 to disable",
        "number",
        "Keep 0 with the face recipe. 2 ends the training when two tests in a row were no better than the best.",
        minimum=0,
        step=1,
        reset_by_presets=True,
    )
    micro_batch: int = option(
        0,
        "Pictures at once",
        "number",
        "Keep 0: as many as fit. Choose 1 if memory runs out; the result is the same.",
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
        changes_plan=True,
    )
    gpus: int = option(
        1,
        "GPUs",
        "number",
        "How many graphics cards share a step's pictures; no more than a step has pictures.",
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

    def problems(self, own_px: int = 0) -> list[Problem]:
        """Those of each value, and schedules, expressions and prompts that cannot be used."""
        found = super().problems(own_px)
        schedules = [("learning_rate", self.learning_rate)] if self.learning_rate.strip() else []
        if self.clip_grad_mode != "disabled":
            schedules.append(("clip_grad_value", self.clip_grad_value))
        for name, text in schedules:
            try:
                with about(name):
                    parse_schedule(text, self.options()[name].label)
            except SettingsError as error:
                found.extend(error.problems)
        try:
            re.compile(self.filename_word_regex)
        except re.error as error:
            sentence = (
                f"Filename word regex '{self.filename_word_regex}' cannot be read: {error.msg}. Correct it or leave it"
                " empty."
            )
            found.append(Problem(sentence, "filename_word_regex"))
        found.extend(self._preview_problems())
        least = min(MIN_SIZE_PX, own_px or MIN_SIZE_PX)
        for side in ("preview_width", "preview_height"):
            if 0 < (size := getattr(self, side)) < least:
                sentence = f"Choose 0, for the size of the training, or {least} and more."
                found.append(Problem(f"{self.options()[side].label} is {size}. {sentence}", side))
        return found

    def _preview_problems(self) -> list[Problem]:
        """Those of the typed prompts of previews."""
        name, lines, found = self.embedding.strip(), self.preview_lines, list[str]()
        if len(lines) > MOST_PREVIEW_PROMPTS:
            found.append(f"Preview prompts has {len(lines)} lines. Keep {MOST_PREVIEW_PROMPTS} or fewer.")
        for line in lines[:MOST_PREVIEW_PROMPTS] if name else ():
            if not any(named for named, _ in split_at_names(line.replace("[name]", name), [name])):
                found.append(
                    f"The preview prompt '{line[:100]}' does not contain the embedding, so previews could not show it."
                    " Write [name] into it, or leave Preview prompts empty."
                )
        return [Problem(sentence, "preview_prompt") for sentence in found]

    @property
    def preview_lines(self) -> list[str]:
        """The typed prompts of previews, with [name] in them, without empty lines."""
        return [line.strip() for line in self.preview_prompt.splitlines() if line.strip()]


@dataclass(frozen=True)
class ResumeSettings(Settings):
    """Going on with a training that was interrupted; its own settings lie in the run's folder."""

    run_folder: str = option(
        "",
        "Run folder",
        "textbox",
        "Type the folder of the run, such as textual_inversion/2026-01-31/anna. It must hold a state.safetensors.",
        required=True,
        is_path=True,
        positional=True,
    )
