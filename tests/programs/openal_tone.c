/* SPDX-License-Identifier: LGPL-2.1-or-later
 * openal_tone FILE: plays a WAV file (S16 stereo, 44.1 kHz) as one OpenAL source on the default device. */
#include <AL/al.h>
#include <AL/alc.h>
#include <stdio.h>
#include <unistd.h>

static char sound[1 << 22];

int main(int argc, char **argv)
{
    FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
    ALCdevice *device = alcOpenDevice(NULL);
    ALCcontext *context = device != NULL ? alcCreateContext(device, NULL) : NULL;
    ALuint buffer, source;
    ALint state = AL_PLAYING;
    size_t bytes;
    if (file == NULL || context == NULL || !alcMakeContextCurrent(context) || fseek(file, 44, SEEK_SET) != 0)
        return fprintf(stderr, "OpenAL cannot play\n"), 1;
    bytes = fread(sound, 1, sizeof sound, file);
    alGenBuffers(1, &buffer);
    alBufferData(buffer, AL_FORMAT_STEREO16, sound, (ALsizei)bytes, 44100);
    alGenSources(1, &source);
    alSourcei(source, AL_BUFFER, (ALint)buffer);
    alSourcePlay(source);
    while (state == AL_PLAYING) {
        usleep(20000);
        alGetSourcei(source, AL_SOURCE_STATE, &state);
    }
    alcDestroyContext(context);
    alcCloseDevice(device);
    return 0;
}
