// SPDX-License-Identifier: LGPL-2.1-or-later
//
// pcm.h: a program's PCM: libasound's functions, each told to the judge before and after, and each answer checked.

#pragma once

#include "tests/sim/ear.h"

#include <alsa/asoundlib.h>
#include <string>
#include <vector>

namespace ringmix::sim {

struct PcmWishes {
    Voice voice;
    std::vector<unsigned> map; // key map; empty: by position
    snd_pcm_access_t access = SND_PCM_ACCESS_RW_INTERLEAVED;
    snd_pcm_uframes_t buffer = 1024, period = 256;
    snd_pcm_uframes_t start_threshold = 1, stop_threshold = 0, avail_min = 1; // stop_threshold 0: the buffer
    bool goes_on = false; // over underruns: stop_threshold = boundary
    double gain_db = 0;
    unsigned rate = 48000;
    bool only_device_rate = false; // key rates: no other is offered
};

class Pcm {
public:
    // False: refused (too many programs, no memory, no device); the errno is in `error`.
    bool open(const std::string& name, const PcmWishes& wishes);
    bool configure(const PcmWishes& wishes);
    void close();
    void hw_free();
    bool is_open() const noexcept { return pcm_ != nullptr; }
    bool lost() const noexcept { return lost_; }
    int error = 0;

    snd_pcm_state_t state() const noexcept { return snd_pcm_state(pcm_); }
    const PcmWishes& wishes() const noexcept { return wishes_; }
    Score& score() noexcept { return *score_; }

    void prepare();
    // Writes up to `frames`; returns what was taken, or a negative errno.
    snd_pcm_sframes_t write(snd_pcm_uframes_t frames);
    void start();
    void pause();
    void resume();
    void drop();
    // Until all has been heard.
    void drain();
    void rewind(snd_pcm_uframes_t frames);
    void forward(snd_pcm_uframes_t frames);
    snd_pcm_sframes_t avail();
    void check_delay();
    // Polls until there is room for avail_min frames, something is wrong, or `most_ms` have passed.
    bool wait(int most_ms);

private:
    int set_parameters();
    void encode(std::uint64_t position, snd_pcm_uframes_t frames, std::uint32_t version);
    snd_pcm_sframes_t write_mapped(snd_pcm_uframes_t frames);
    snd_pcm_sframes_t write_plain(snd_pcm_uframes_t frames);
    bool follow(int result); // the state after a call; false: the device is lost
    void note(const char* what, std::int64_t a = 0, std::int64_t b = 0) const;
    void check_idle_wake(std::int64_t room) const;

    snd_pcm_t* pcm_ = nullptr;
    PcmWishes wishes_;
    Score* score_ = nullptr;
    std::string name_;
    std::vector<std::byte> bytes_;
    std::vector<std::vector<std::byte>> planes_;
    std::int64_t last_heard_ = INT64_MIN; // of this run
    std::int64_t last_place_ = INT64_MIN; // the same of the commit horizon
    std::int64_t asked_ns_ = 0;           // when it asked for its descriptors last
    bool lost_ = false;
    bool draining_ = false;
};

// The plugin's entry point, and the slot that the program of this fibre was given.
extern "C" int _snd_pcm_ringmix_open(snd_pcm_t** pcmp, const char* name, snd_config_t* root, snd_config_t* conf,
                                     snd_pcm_stream_t stream, int mode);

} // namespace ringmix::sim
