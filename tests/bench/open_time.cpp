// SPDX-License-Identifier: LGPL-2.1-or-later
//
// open_time PCM [RUNS]: how long a program needs from snd_pcm_open() until its first frames lie in
// the device's ring, and until the first of them is heard. One JSON object on stdout; median of RUNS.

#include <algorithm>
#include <alsa/asoundlib.h>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

double ms_since(Clock::time_point begin)
{
    return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

double median(std::vector<double> values)
{
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

struct Times {
    double in_ring_ms, heard_ms;
};

// The write that reaches the start threshold returns when its frames are in the ring; they are heard
// when the delay has become less than what was written.
int measure(const char* name, Times& times)
{
    const Clock::time_point begin = Clock::now();
    snd_pcm_t* pcm = nullptr;
    int error = snd_pcm_open(&pcm, name, SND_PCM_STREAM_PLAYBACK, 0);
    if (error < 0)
        return error;
    static const short silence[2 * 480] = {};
    error = snd_pcm_set_params(pcm, SND_PCM_FORMAT_S16_LE, SND_PCM_ACCESS_RW_INTERLEAVED, 2, 48000, 1, 20000);
    if (error >= 0)
        error = static_cast<int>(snd_pcm_writei(pcm, silence, 480));
    if (error >= 0)
        error = snd_pcm_start(pcm) == -EBADFD ? 0 : error; // it has started by itself
    times.in_ring_ms = ms_since(begin);
    snd_pcm_sframes_t delay = 480;
    while (error >= 0 && delay >= 480 && ms_since(begin) < 2000)
        error = snd_pcm_delay(pcm, &delay);
    times.heard_ms = ms_since(begin);
    snd_pcm_close(pcm);
    return error == -EPIPE ? 0 : error;
}

} // namespace

int main(int argc, char** argv)
{
    if (argc < 2) {
        std::fprintf(stderr, "usage: open_time PCM [RUNS]\n");
        return 2;
    }
    const int runs = argc > 2 ? std::atoi(argv[2]) : 21;
    std::vector<double> in_ring, heard;
    for (int i = 0; i < runs; i++) {
        Times times{};
        if (const int error = measure(argv[1], times); error < 0) {
            std::fprintf(stderr, "open_time: %s: %s\n", argv[1], snd_strerror(error));
            return 1;
        }
        in_ring.push_back(times.in_ring_ms);
        heard.push_back(times.heard_ms);
    }
    std::printf(
        "{\"test\":\"open-time\",\"pcm\":\"%s\",\"runs\":%d,\"open_to_ring_ms\":%.3f,\"open_to_heard_ms\":%.3f}\n",
        argv[1], runs, median(in_ring), median(heard));
    return 0;
}
