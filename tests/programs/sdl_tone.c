/* SPDX-License-Identifier: LGPL-2.1-or-later
 * sdl_tone FILE: plays a WAV file with SDL's audio callback, in the file's own format. */
#define SDL_MAIN_HANDLED
#include <SDL.h>
#include <stdio.h>

static Uint8 *sound;
static Uint32 length, at;
static SDL_atomic_t ended;

static void fill(void *data, Uint8 *out, int bytes)
{
    Uint32 count = SDL_min((Uint32)bytes, length - at);
    (void)data;
    SDL_memset(out, 0, (size_t)bytes);
    SDL_memcpy(out, sound + at, count);
    at += count;
    if (count == 0)
        SDL_AtomicSet(&ended, 1);
}

int main(int argc, char **argv)
{
    SDL_AudioSpec wanted;
    SDL_AudioDeviceID device = 0;
    SDL_SetMainReady();
    if (argc == 2 && SDL_Init(SDL_INIT_AUDIO) == 0 && SDL_LoadWAV(argv[1], &wanted, &sound, &length) != NULL) {
        wanted.callback = fill;
        wanted.samples = 512;
        device = SDL_OpenAudioDevice(NULL, 0, &wanted, NULL, 0);
    }
    if (device == 0)
        return fprintf(stderr, "%s\n", SDL_GetError()), 1;
    SDL_PauseAudioDevice(device, 0);
    while (!SDL_AtomicGet(&ended))
        SDL_Delay(20);
    SDL_CloseAudioDevice(device);
    SDL_Quit();
    return 0;
}
