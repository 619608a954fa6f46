"""Generates `gen/confapi` from `protos/`: the one place that calls protoc.

`make protos` runs it by hand, `build_hook.py` at every build and editable install. It writes into a
fresh folder and swaps it in, so that a proto that was removed leaves no module behind and a failing
protoc leaves the former code as it was.
"""

from __future__ import annotations

import pathlib
import shutil
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent


def generate(root: pathlib.Path = ROOT) -> list[pathlib.Path]:
    """Compile every proto below `root/protos` into `root/gen` and return the generated files.

    Raises:
        RuntimeError: protoc refused a file; its own message is on standard error.
    """
    import grpc_tools
    from grpc_tools import protoc

    protos = root / "protos"
    sources = sorted(str(p.relative_to(protos)) for p in protos.glob("confapi/**/*.proto"))
    well_known = pathlib.Path(grpc_tools.__file__).parent / "_proto"
    with tempfile.TemporaryDirectory(dir=root) as fresh:
        arguments = ["protoc", f"-I{protos}", f"-I{well_known}"]
        arguments += [f"--{kind}_out={fresh}" for kind in ("python", "pyi", "grpc_python")]
        if protoc.main([*arguments, *sources]) != 0:
            raise RuntimeError(f"protoc refused the files in {protos}: see its message above")
        package = pathlib.Path(fresh) / "confapi"
        for folder in [package, *(p for p in package.rglob("*") if p.is_dir())]:
            (folder / "__init__.py").write_text('"""Generated from protos/ by protos/generate.py."""\n')
        (package / "py.typed").touch()
        target = root / "gen" / "confapi"
        shutil.rmtree(target, ignore_errors=True)
        target.parent.mkdir(exist_ok=True)
        shutil.move(str(package), str(target))
    return sorted(target.rglob("*.py"))


if __name__ == "__main__":
    try:
        print(f"generated {len(generate())} modules in gen/confapi")
    except RuntimeError as error:
        sys.exit(str(error))
