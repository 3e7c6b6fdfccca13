"""Makes examples/recording.flac: plucked strings in a room, and a voice that says what is heard.

    espeak-ng -v en-gb -s 190 -w announcement.wav "Phasegraph. Stereo, twenty-four bit, forty-eight kilohertz."
    python tools/make_recording.py announcement.wav examples/recording.flac

The strings are the modes of a stiff string with losses, plucked at a point; the room is a box whose walls mirror
every source, heard by two spaced microphones, with a diffuse tail. Everything follows from the seed. The result is
dithered to 24 bits with high-passed triangular noise, so that all bits are alive and any that is lost shows.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

Signal = NDArray[np.float64]

RATE = 48_000
DURATION_S = 6.2
SPEED_OF_SOUND = 343.0
PEAK = 10 ** (-3 / 20)
ROOM = np.array([7.1, 5.3, 3.2])
MICROPHONES = np.array([[3.25, 1.6, 1.5], [3.85, 1.6, 1.5]])
PLAYER = np.array([3.9, 3.2, 1.1])
SPEAKER = np.array([2.7, 3.0, 1.6])
ANNOUNCED_AT_S = 1.3
random = np.random.default_rng(48_000)

# (beat, note as a MIDI number, strength); a beat is half of one.
BEAT_S = 0.215
PIECE = [
    *((beat, note, 0.8) for beat, note in enumerate([50, 57, 62, 66, 69, 66, 62, 57])),
    *((beat + 8, note, 0.7) for beat, note in enumerate([47, 54, 59, 62, 66, 62, 59, 54])),
    *((16 + 0.16 * place, note, 0.55) for place, note in enumerate([43, 50, 55, 59, 66, 69])),
    (18.5, 74, 0.6),
    (19.5, 73, 0.5),
    (20.5, 69, 0.7),
]


def string(note: int, strength: float, seconds: float) -> Signal:
    """A plucked string: two polarisations, a hair apart in pitch, each a sum of its modes."""
    time = np.arange(int(seconds * RATE)) / RATE
    pitch = 440.0 * 2 ** ((note - 69) / 12)
    stiffness = 6e-5 * (pitch / 100) ** 0.6
    plucked_at = 0.17 + 0.03 * random.standard_normal()
    sound = np.zeros(len(time))
    for detune, weight, loss in ((1.0, 1.0, 1.0), (1.0 + 3.5e-4, 0.45, 0.6)):
        for mode in range(1, 70):
            frequency = pitch * detune * mode * np.sqrt(1 + stiffness * mode**2)
            if frequency > 0.45 * RATE:
                break
            # Air and bridge take the low modes slowly, inner friction the high ones fast.
            decay = loss * (1.1 + 0.9 * (pitch / 200) + 1.9e-7 * frequency**2)
            # A softer pluck has a rounder bend, and so fewer high modes.
            bend = (
                np.sin(np.pi * mode * plucked_at) / mode**1.7 * np.exp(-((frequency / (2500 + 6000 * strength)) ** 2))
            )
            sound += weight * bend * np.exp(-decay * time) * np.sin(2 * np.pi * frequency * time)
    nail = random.standard_normal(len(time)) * np.exp(-time / 0.004) * 0.05
    return strength * (sound + nail) * np.minimum(1.0, time / 0.0008)


def body(sound: Signal) -> Signal:
    """The box that the strings stand on: a few resonances beside the direct sound."""
    time = np.arange(int(0.25 * RATE)) / RATE
    response = np.zeros(len(time))
    response[0] = 1.0
    for frequency, decay, weight in ((103, 28, 0.022), (196, 35, 0.018), (238, 45, 0.010), (411, 70, 0.008)):
        response += weight * np.exp(-decay * time) * np.sin(2 * np.pi * frequency * time)
    return convolve(sound, response)


def music() -> Signal:
    """The piece, dry."""
    sound = np.zeros(int(DURATION_S * RATE))
    for beat, note, strength in PIECE:
        at = int((0.12 + beat * BEAT_S + 0.004 * random.standard_normal()) * RATE)
        rest = sound[at:]
        rest += string(note, strength * (1 + 0.06 * random.standard_normal()), DURATION_S)[: len(rest)]
    return body(sound)


def room(source: NDArray[np.float64], microphone: NDArray[np.float64]) -> Signal:
    """Impulse response of the box from a source to a microphone: mirrored sources, then a diffuse tail."""
    length = int(0.9 * RATE)
    spectrum = np.zeros(length // 2 + 1, complex)
    frequency = np.fft.rfftfreq(length, 1 / RATE)
    reflection = 0.82 - 0.18 * np.minimum(1.0, frequency / 12_000)
    for cell in itertools.product(range(-2, 3), repeat=3):
        for sides in itertools.product((0, 1), repeat=3):
            image = 2 * np.array(cell) * ROOM + np.where(sides, -1, 1) * source
            bounces = int(np.sum(np.abs(np.array(cell) - np.array(sides)) + np.abs(cell)))
            distance = float(np.linalg.norm(image - microphone))
            delay = distance / SPEED_OF_SOUND
            if bounces <= 5 and delay < 0.12:
                spectrum += reflection**bounces / distance * np.exp(-2j * np.pi * frequency * delay)
    response = np.fft.irfft(spectrum, length)
    time = np.arange(length) / RATE
    tail = np.cumsum(random.standard_normal(length)) * 0.02 + random.standard_normal(length)
    tail -= np.convolve(tail, np.ones(400) / 400, "same")
    response += 0.012 * tail * np.exp(-time / 0.075) * np.clip((time - 0.02) / 0.04, 0.0, 1.0)
    return response


def convolve(signal: Signal, response: Signal) -> Signal:
    """Convolution, cut to the length of the signal."""
    size = len(signal) + len(response)
    return np.fft.irfft(np.fft.rfft(signal, size) * np.fft.rfft(response, size), size)[: len(signal)]


def voice(path: Path) -> Signal:
    """The announcement, at our rate and in its place."""
    samples, rate = soundfile.read(path, dtype="float64", always_2d=True)
    spoken = samples.mean(axis=1)
    # Resampling in the frequency domain: both lengths are the same whole number of milliseconds.
    seconds = len(spoken) // rate + 1
    spectrum = np.fft.rfft(np.pad(spoken, (0, seconds * rate - len(spoken))))
    wanted = seconds * RATE
    resampled = np.fft.irfft(spectrum[: wanted // 2 + 1], wanted) * (RATE / rate)
    placed = np.zeros(int(DURATION_S * RATE))
    begin = int(ANNOUNCED_AT_S * RATE)
    part = resampled[: len(placed) - begin]
    placed[begin : begin + len(part)] = part
    return placed


def mix(announcement: Path) -> Signal:
    """Both in the room, the music a little lower while somebody speaks; shape (frames, 2)."""
    played, spoken = music(), voice(announcement)
    speaking = np.convolve(np.abs(spoken) > 0.02, np.ones(RATE // 3) / (RATE // 3), "same")
    played *= 1 - 0.4 * np.clip(3 * speaking, 0, 1)
    played /= np.abs(played).max()
    spoken *= 0.45 / np.abs(spoken).max()
    channels = [
        convolve(played, room(PLAYER, microphone)) + convolve(spoken, room(SPEAKER, microphone))
        for microphone in MICROPHONES
    ]
    mixed = np.stack(channels, axis=1)
    fade = np.minimum(1.0, (len(mixed) - np.arange(len(mixed))) / (0.5 * RATE))
    mixed *= (fade**2)[:, np.newaxis]
    return mixed * (PEAK / np.abs(mixed).max())


def dithered(mixed: Signal) -> NDArray[np.int32]:
    """24-bit samples in the upper bits of 32. Each value of the noise is used twice, with opposite signs: it is
    triangular, and moved to where ears hear least."""
    noise = random.random((len(mixed) + 1, mixed.shape[1]))
    steps = np.rint(mixed * 2**23 + np.diff(noise, axis=0))
    return np.clip(steps, -(2**23), 2**23 - 1).astype(np.int32) << 8


def main(announcement: str, output: str) -> None:
    """Make the recording from a spoken announcement."""
    samples = dithered(mix(Path(announcement)))
    soundfile.write(output, samples, RATE, subtype="PCM_24", format="FLAC")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: make_recording.py ANNOUNCEMENT.wav OUTPUT.flac")
    main(*sys.argv[1:])
