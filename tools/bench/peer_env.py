"""tools/bench/peer_env.py: a virtual environment with the peers in it, installed from PyPI.

torch: PyPI's wheel for x86-64 Linux is the CUDA build, whose requirements are another 2 GB that a CPU
never calls. It is installed without them, next to the few small ones whose code runs when it is
loaded; the other libraries that it is linked against are stood in for by empty ones, made with cc, and
its symbols are bound lazily. Where that does not load, or with `full`, it is installed with everything.

llama-cpp-python: from source, for the instructions that this CPU has; if it has AMX, in whose matrix product
llama.cpp crashed with SIGSEGV on one Intel machine, a short prefill is tried, and after a crash it is built
once more without.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys

TORCH_PURE = ("typing_extensions", "filelock", "sympy", "networkx", "jinja2", "fsspec", "numpy")
# By their generic names; the suffix -cuNN is found in the wheel's own requirements.
TORCH_SMALL = ("nvidia-cuda-runtime", "nvidia-cuda-cupti", "nvidia-cufile", "nvidia-nvshmem")
TORCH_STAND_INS = ("cusparse", "cufft", "cusparseLt", "nccl", "cublas", "cublasLt", "cudnn", "nvrtc")

# cmake's switch -> the flag in /proc/cpuinfo
GGML_FLAGS = {"GGML_SSE42": "sse4_2", "GGML_AVX": "avx", "GGML_AVX2": "avx2", "GGML_FMA": "fma",
              "GGML_F16C": "f16c", "GGML_BMI2": "bmi2", "GGML_AVX_VNNI": "avx_vnni",
              "GGML_AVX512": "avx512f", "GGML_AVX512_VBMI": "avx512_vbmi",
              "GGML_AVX512_VNNI": "avx512_vnni", "GGML_AVX512_BF16": "avx512_bf16"}
GGML_AMX_FLAGS = {"GGML_AMX_TILE": "amx_tile", "GGML_AMX_INT8": "amx_int8", "GGML_AMX_BF16": "amx_bf16"}
CPUINFO_NAMES = {"avx512_vbmi": "avx512vbmi"}


def cpu_flags():
    try:
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("flags"):
                return set(line.split(":", 1)[1].split())
    except OSError:
        pass
    return set()


def llama_cmake_args(flags, amx):
    """For a CPU with these flags; amx: also for its AMX, if it has that."""
    if not flags:  # not x86: let it look for itself
        return ["-DGGML_NATIVE=ON"]
    args = ["-DGGML_NATIVE=OFF"]
    for switch, flag in {**GGML_AMX_FLAGS, **GGML_FLAGS}.items():
        have = CPUINFO_NAMES.get(flag, flag) in flags and (amx or switch not in GGML_AMX_FLAGS)
        args.append(f"-D{switch}={'ON' if have else 'OFF'}")
    return args


class PeerEnv:
    """Python with the peers: `python`, and the environment variables that a worker needs."""

    def __init__(self, folder=None, python=None):
        self.folder = pathlib.Path(folder) if folder else None
        self.python = python or str(self.folder / "bin" / "python")
        self.problems = {}

    def variables(self, **more):
        env = dict(os.environ, PYTHONUNBUFFERED="1", **more)
        stand_ins = self.folder / "stand-ins" if self.folder else None
        if stand_ins and stand_ins.is_dir():
            env["LD_LIBRARY_PATH"] = os.pathsep.join(
                filter(None, [str(stand_ins), env.get("LD_LIBRARY_PATH")]))
            env["PEERS_LAZY_BINDING"] = "1"
        return env

    def has(self, module):
        code = "import sys, os\n" \
               "if os.environ.get('PEERS_LAZY_BINDING'): sys.setdlopenflags(os.RTLD_LAZY)\n" \
               f"import {module}\n"
        return subprocess.run([self.python, "-c", code], env=self.variables(),
                              capture_output=True).returncode == 0

    def pip(self, *args, env=None):
        command = [self.python, "-m", "pip", "--disable-pip-version-check", "-q", *args]
        done = subprocess.run(command, env=env, stdout=sys.stderr)
        if done.returncode:
            raise RuntimeError(f"pip {' '.join(args)} failed")

    def make(self):
        if not (self.folder / "bin" / "pip").exists():  # without venv's parts python alone is there
            say(f"making {self.folder}")
            subprocess.run([sys.executable, "-m", "venv", str(self.folder)], check=True,
                           stdout=sys.stderr)

    def install(self, name, step):
        """A peer that does not install is a problem to report, not the end of the run."""
        try:
            step()
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            self.problems[name] = str(error)
            say(f"{name}: {error}")

    # torch

    def torch(self, version="", index=None, full=False):
        if full:  # with the libraries that were stood in for
            shutil.rmtree(self.folder / "stand-ins", ignore_errors=True)
        if self.has("torch"):
            return
        spec = f"torch=={version}" if version else "torch"
        if full:
            say(f"installing {spec} with all that it asks for (3 GB)")
            self.pip("install", spec)
        elif index:
            say(f"installing {spec} from the index given")
            self.pip("install", "--no-deps", "--index-url", index, spec)
            self.pip("install", *TORCH_PURE)
        else:
            say(f"installing {spec} (0.7 GB), without the libraries of the GPU")
            self.pip("install", "--no-deps", spec)
            self.pip("install", *TORCH_PURE)
            self.torch_libraries()
            if not self.has("torch"):
                say("torch does not load so: installing all that it asks for (3 GB)")
                shutil.rmtree(self.folder / "stand-ins", ignore_errors=True)
                self.pip("install", spec)
        if not self.has("torch"):
            raise RuntimeError("torch is installed but does not load")

    def torch_libraries(self):
        code = "import importlib.metadata as m\nprint('\\n'.join(m.requires('torch') or []))"
        needs = subprocess.run([self.python, "-c", code], capture_output=True, text=True,
                               check=True).stdout.splitlines()
        needs = [line.split(";")[0].strip() for line in needs]
        if not any(n.startswith(("nvidia-", "cuda-")) for n in needs):
            return  # a CPU build after all
        small = [n for n in needs if n.startswith(TORCH_SMALL)]
        # Newer wheels name one package, cuda-toolkit[...], for the runtime, cupti and cufile.
        for name in TORCH_SMALL:
            if not any(n.startswith(name) for n in small):
                small.append(name)
        self.pip("install", "--no-deps", *small)
        folder = self.folder / "stand-ins"
        folder.mkdir(exist_ok=True)
        source = folder / "empty.c"
        source.write_text("int annulet_stand_in;\n")
        for soname in self.torch_sonames():
            subprocess.run(["cc", "-shared", "-fPIC", f"-Wl,-soname,{soname}", "-o",
                            str(folder / soname), str(source)], check=True)

    def torch_sonames(self):
        """What torch's libraries are linked against and the stand-ins are for, as readelf tells."""
        found = set()
        for lib in self.folder.glob("lib/python*/site-packages/torch/lib/libtorch*.so"):
            text = subprocess.run(["readelf", "-d", str(lib)], capture_output=True, text=True).stdout
            for line in text.splitlines():
                if "(NEEDED)" in line and "[" in line:
                    soname = line.split("[")[1].split("]")[0]
                    if soname.split(".so")[0] in {"lib" + n for n in TORCH_STAND_INS}:
                        found.add(soname)
        return sorted(found)

    def vendor_library(self):
        """A library to preload under which MKL takes its AVX-512 paths on a CPU that is not Intel's.

        MKL asks itself mkl_serv_intel_cpu_true() and takes slower code where the answer is no.
        torch is measured both ways, and the faster counts. None: on Intel, or without AVX-512."""
        cpuinfo = pathlib.Path("/proc/cpuinfo").read_text() if os.path.exists("/proc/cpuinfo") else ""
        if "GenuineIntel" in cpuinfo or "avx512f" not in cpu_flags() or not self.folder:
            return None
        library = self.folder / "libmkl_vendor.so"
        if not library.exists():
            source = self.folder / "mkl_vendor.c"
            source.write_text("int mkl_serv_intel_cpu_true(void) { return 1; }\n")
            done = subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source)])
            if done.returncode:
                return None
        return str(library)

    # llama.cpp

    def llama(self, version, model):
        flags = cpu_flags()
        amx = "amx_tile" in flags and not self.note("llama-amx")
        args = llama_cmake_args(flags, amx)
        if self.has("llama_cpp") and self.note("llama-cmake-args") in ("", " ".join(args)):
            return
        self.build_llama(version, args)
        crash = self.crash(model) if amx else ""
        if crash:
            say(f"llama.cpp ended with {crash} on AMX: building it without")
            self.build_llama(version, llama_cmake_args(flags, False))
            (self.folder / "llama-amx").write_text(f"off: a prefill of 64 tokens ended with {crash}\n")

    def build_llama(self, version, args):
        spec = f"llama-cpp-python=={version}" if version else "llama-cpp-python"
        say(f"building {spec} from source with {' '.join(args)} (minutes)")
        self.pip("uninstall", "-y", "llama-cpp-python")
        # Not from pip's cache: what lies there may have been built for other instructions.
        self.pip("install", "--no-cache-dir", "--no-binary", "llama-cpp-python", spec,
                 env=dict(os.environ, CMAKE_ARGS=" ".join(args)))
        (self.folder / "llama-cmake-args").write_text(" ".join(args) + "\n")
        if not self.has("llama_cpp"):
            raise RuntimeError("llama-cpp-python is installed but does not load")

    def crash(self, model):
        """The signal that ends a prefill of 64 tokens, or ""."""
        worker = pathlib.Path(__file__).with_name("peer_llama.py")
        case = json.dumps({"case": {"op": "prefill", "tokens": 64}})
        done = subprocess.run([self.python, str(worker), model, "2", "512", "on"], env=self.variables(),
                              input=case + "\n{}\n", capture_output=True, text=True, timeout=600)
        return f"signal {-done.returncode}" if done.returncode < 0 else ""

    def note(self, name):
        """What an earlier run wrote down in the environment's folder, or ""."""
        path = self.folder / name if self.folder else None
        return path.read_text().strip() if path and path.exists() else ""

    def llama_facts(self):
        facts = {"llama.cpp's CMAKE_ARGS": self.note("llama-cmake-args"),
                 "its AMX": self.note("llama-amx")}
        return {name: text for name, text in facts.items() if text}


def say(text):
    print(f"peers: {text}", file=sys.stderr, flush=True)


def default_folder():
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(cache, "annulet", "peers")
