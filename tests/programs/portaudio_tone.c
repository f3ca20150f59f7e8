/* SPDX-License-Identifier: LGPL-2.1-or-later
 * portaudio_tone FILE: plays a WAV file (S16 stereo, 44.1 kHz) on PortAudio's ALSA device "default" from a callback, with
 * the lowest latency that it offers. */
#include <portaudio.h>
#include <stdio.h>
#include <string.h>

static FILE *file;

static int fill(const void *input, void *output, unsigned long frames, const PaStreamCallbackTimeInfo *time,
                PaStreamCallbackFlags flags, void *data)
{
    size_t got = fread(output, 4, frames, file);
    (void)input, (void)time, (void)flags, (void)data;
    memset((char *)output + got * 4, 0, (frames - got) * 4);
    return got == frames ? paContinue : paComplete;
}

int main(int argc, char **argv)
{
    PaStreamParameters to = {paNoDevice, 2, paInt16, 0, NULL};
    PaStream *stream;
    PaError error;
    if (argc != 2 || (file = fopen(argv[1], "rb")) == NULL || fseek(file, 44, SEEK_SET) != 0)
        return 2;
    if ((error = Pa_Initialize()) != paNoError)
        return 1;
    for (int i = 0; i < Pa_GetDeviceCount(); i++)
        if (strcmp(Pa_GetDeviceInfo(i)->name, "default") == 0)
            to.device = i;
    if (to.device == paNoDevice)
        return fprintf(stderr, "PortAudio has no device \"default\"\n"), 1;
    to.suggestedLatency = Pa_GetDeviceInfo(to.device)->defaultLowOutputLatency;
    error = Pa_OpenStream(&stream, NULL, &to, 44100, paFramesPerBufferUnspecified, paNoFlag, fill, NULL);
    if (error == paNoError)
        error = Pa_StartStream(stream);
    while (error == paNoError && Pa_IsStreamActive(stream) == 1)
        Pa_Sleep(20);
    if (error == paNoError)
        error = Pa_StopStream(stream);
    if (error != paNoError)
        fprintf(stderr, "%s\n", Pa_GetErrorText(error));
    Pa_Terminate();
    return error != paNoError;
}
