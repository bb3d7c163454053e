"""Running commands, with errors that say which command failed and what it printed."""

import os
import signal
import subprocess
import time


class LabError(Exception):
    """A command or a condition of the laboratory failed; the text says which."""


def run(*words, ns=None, check=True, timeout=30, stdin=None, env=None):
    """Runs one command, in namespace `ns` if one is named, and returns what it printed."""
    argv = in_namespace(ns, [str(w) for w in words])
    try:
        done = subprocess.run(
            argv,
            input=stdin,
            stdin=None if stdin is not None else subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=merged(env),
        )
    except subprocess.TimeoutExpired as late:
        raise LabError(f"{' '.join(argv)}: not done after {timeout} s") from late
    if check and done.returncode != 0:
        text = (done.stderr or done.stdout).strip()[-800:]
        raise LabError(f"{' '.join(argv)}: status {done.returncode}: {text}")
    return done.stdout


def spawn(*words, ns=None, log=None, env=None):
    """Starts a command in the background; its output goes to the file `log`."""
    argv = in_namespace(ns, [str(w) for w in words])
    out = open(log, "ab") if log else subprocess.DEVNULL
    try:
        return subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=merged(env)
        )
    finally:
        if log:
            out.close()


def stop(process, number=signal.SIGTERM, timeout=10):
    """Ends a process that `spawn` started, and waits for it. Harmless if it has ended."""
    if process is None or process.poll() is not None:
        return
    process.send_signal(number)
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(timeout)


def wait_for(condition, what, timeout=30, interval=0.05):
    """Waits until `condition()` is true and returns its value; `what` names it in the error."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise LabError(f"no {what} within {timeout} s")
        time.sleep(interval)


def expect(condition, text):
    """Ends the scenario as failed, with `text` as the reason, unless `condition` holds."""
    if not condition:
        raise LabError(text)


def in_namespace(ns, argv):
    return ["ip", "netns", "exec", ns, *argv] if ns else argv


def merged(env):
    return None if env is None else {**os.environ, **{k: str(v) for k, v in env.items()}}
