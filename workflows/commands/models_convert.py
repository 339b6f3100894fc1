"""`articulate models convert`: published checkpoints -> weights files. Users bring them, under their authors' terms."""

import argparse
import shutil
import tempfile
from pathlib import Path

from .common import add_json, print_json

EXAMPLES = """examples:
  articulate models convert mcnet final-checkpoint.pth.tar
  articulate models convert atvgnet --at atnet_lstm_18.pth --vg generator_23.pth --basics ATVGnet/basics
  articulate models convert vgg19 timm/vgg19.tv_in1k
  articulate models convert insightface buffalo_l.zip --name buffalo_l

Without -o the files are put where the nodes find them.

CLIP needs no conversion: articulate finetune --clip-vision takes a model as transformers saves it (a folder, or a
repository of the Hub such as openai/clip-vit-base-patch32); in ComfyUI, link CLIP Vision Encode to Fine-tune."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The kinds of checkpoints."""
    parser.formatter_class, parser.epilog = argparse.RawDescriptionHelpFormatter, EXAMPLES
    kinds = parser.add_subparsers(dest="kind", metavar="KIND", required=True)
    mcnet = kinds.add_parser("mcnet", help="MCNet's final-checkpoint.pth.tar: keypoint detector, warper, generator")
    mcnet.add_argument("file", type=Path, help="the authors' checkpoint")
    atvgnet = kinds.add_parser("atvgnet", help="ATVGnet: audio to landmarks to frames")
    atvgnet.add_argument("--at", type=Path, required=True, help="AT-net, such as atnet_lstm_18.pth")
    atvgnet.add_argument("--vg", type=Path, required=True, help="VG-net, such as generator_23.pth")
    atvgnet.add_argument("--basics", type=Path, required=True, help="folder with the authors' landmark statistics")
    vgg = kinds.add_parser("vgg19", help="VGG-19 for the perceptual loss")
    vgg.add_argument("file", help="model.safetensors, vgg19-*.pth, or a repository of the Hub (timm/vgg19.tv_in1k)")
    pack = kinds.add_parser("insightface", help="a pack of insightface's models (non-commercial research)")
    pack.add_argument("file", help="a folder, a zip file, or a repository of the Hub that holds .onnx files")
    pack.add_argument("--name", default="buffalo_l", help="name of the pack (default: buffalo_l)")
    pack.add_argument("--overwrite", action="store_true", help="replace a pack that is there")
    for kind in (mcnet, atvgnet, vgg, pack):
        kind.add_argument("-o", "--output", type=Path, metavar="DIR", help="folder to write to")
        add_json(kind)


def run(arguments: argparse.Namespace) -> int:
    """Convert, and say what was written."""
    if arguments.kind == "insightface":
        written = _insightface(arguments)
    else:
        with tempfile.TemporaryDirectory(prefix="articulate-convert-") as name:
            written = [_place(path, arguments.output) for path in _converted(arguments, Path(name))]
    if arguments.json:
        print_json([{"path": str(path), "bytes": path.stat().st_size} for path in written])
    else:
        for path in written:
            print(f"{path}  {path.stat().st_size / 1e6:.2f} MB")
    return 0


def _converted(arguments: argparse.Namespace, folder: Path) -> list[Path]:
    """The weights files, whole, in a temporary folder."""
    match arguments.kind:
        case "mcnet":
            from ...models_hub.converters.mcnet import convert_mcnet

            made = convert_mcnet(arguments.file, folder)
        case "atvgnet":
            from ...models_hub.converters.atvgnet import convert_atvgnet

            made = convert_atvgnet(arguments.at, arguments.vg, arguments.basics, folder)
        case _:
            from ...models_hub.converters.vgg19 import convert_vgg19

            made = convert_vgg19(_from_hub(arguments.file, "model.safetensors"), folder / "vgg19.safetensors")
    return [Path(path) for path in ([made] if isinstance(made, str | Path) else made)]


def _place(path: Path, output: Path | None) -> Path:
    """Move a made file to the folder that was asked for, or to the model folder of its stage."""
    from ...models_hub.finding import model_folders
    from ...models_hub.loading import inspect_weights

    architecture, _, _ = inspect_weights(path)
    folder = output.expanduser() if output else model_folders(architecture.stages[0])[0]
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{path.name}.part"
    try:
        shutil.move(path, part)  # perhaps over to another disk
        part.replace(folder / path.name)
    finally:
        part.unlink(missing_ok=True)
    return folder / path.name


def _from_hub(source: str, file: str) -> Path:
    """A file that was given, or that of a repository of the Hub."""
    from ...models_hub import hub, references

    if Path(source).expanduser().exists() or not references.is_reference(source):
        return Path(source).expanduser()
    reference = references.parse(source)
    name = reference.file or file
    return hub.cached(reference, name) or hub.fetch(reference, name)


def _insightface(arguments: argparse.Namespace) -> list[Path]:
    from ...models_hub import hub, references
    from ...models_hub.converters.insightface_pack import install_pack
    from ...models_hub.errors import WeightsError

    source = Path(arguments.file).expanduser()
    if source.exists() or not references.is_reference(arguments.file):
        return install_pack(source, arguments.name, arguments.output, arguments.overwrite)
    reference = references.parse(arguments.file)
    names = [name for name in hub.list_files(reference) if name.endswith(".onnx")]
    if not names:
        raise WeightsError(f"{reference} has no .onnx file; give a repository with a pack of insightface.")
    with tempfile.TemporaryDirectory(prefix="articulate-pack-") as folder:
        for name in names:
            shutil.copyfile(hub.cached(reference, name) or hub.fetch(reference, name), Path(folder) / Path(name).name)
        return install_pack(folder, arguments.name, arguments.output, arguments.overwrite)
