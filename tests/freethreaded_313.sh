#!/usr/bin/env bash
# What Python 3.13 without the GIL needs and 3.14 does not, into the environment $1: PyO3 0.28, the last
# that takes it, and a msgspec that does not refuse it. Not needed once 3.14 can be had everywhere.
set -euo pipefail

bin=$(realpath "$1")/bin
root=$(realpath "$(dirname "$0")/..")
copy=$root/target/freethreaded/pyo3-0.28

# An object's head looks the same to both Pythons, which is all that the line is about.
msgspec() {
    "$bin/python" -m pip download --no-deps --no-binary msgspec --dest . msgspec==0.22.0
    tar -xf msgspec-*.tar.gz --strip-components 1
    sed -i -e '/#error "Py_GIL_DISABLED is only supported in Python 3.14+"/d' -e '/^#if PY314_PLUS$/{
        N
        s/^#if PY314_PLUS\n#ifdef Py_GIL_DISABLED$/#if defined(Py_GIL_DISABLED) || PY314_PLUS\n#ifdef Py_GIL_DISABLED/
    }' src/msgspec/_core.c
    CFLAGS=-D_Py_STATICALLY_ALLOCATED_FLAG=0 "$bin/python" -m pip install --no-deps .
}

if ! "$bin/python" -c 'import msgspec' 2>/dev/null; then
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    (cd "$folder" && msgspec)
fi

# Manifests are copied, the code is not: what is tested is what is there.
mkdir -p "$copy/rust/pyext"
cp "$root"/{pyproject,Cargo}.toml "$root/Cargo.lock" "$copy"
sed 's/^pyo3 = .*/pyo3 = "0.28"/' "$root/rust/pyext/Cargo.toml" >"$copy/rust/pyext/Cargo.toml"
ln -sfn "$root"/{README.md,CHANGELOG.md,LICENSE,python} "$copy"
ln -sfn "$root/rust/core" "$copy/rust"
ln -sfn "$root/rust/pyext/src" "$copy/rust/pyext"
cd "$copy"
cargo update --quiet --package pyo3 --precise 0.28.3
"$bin/maturin" develop --release --locked
