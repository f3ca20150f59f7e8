// SPDX-License-Identifier: LGPL-2.1-or-later
//
// hand.h: one PCM, played through libasound only. Every call that may change what is heard is in the
// journal before it happens.

#pragma once

#include "journal.h"
#include "noise.h"

#include <alsa/asoundlib.h>
#include <string>
#include <vector>

namespace ringmix::stress {

struct Shape {
    std::string node;
    int node_number = 0;
    unsigned channels = 2;
    unsigned rate = 48000;
    int format = format_s16;
    snd_pcm_access_t access = SND_PCM_ACCESS_RW_INTERLEAVED;
    snd_pcm_uframes_t buffer = 4096;
    snd_pcm_uframes_t period = 512;
    snd_pcm_uframes_t start_threshold = 1;
    bool stops_at_xrun = true;
};

class Hand {
public:
    explicit Hand(Journal& journal) : journal_(journal) {}
    ~Hand() { close(); }
    Hand(const Hand&) = delete;
    Hand& operator=(const Hand&) = delete;

    int open(const Shape& shape); // and hw_params, sw_params
    void close();
    bool is_open() const { return pcm_ != nullptr; }
    const Shape& shape() const { return shape_; }

    snd_pcm_state_t state() const { return snd_pcm_state(pcm_); }
    std::int64_t position() const { return position_; }
    std::int64_t started_ns() const { return started_ns_; }         // when the last stream began
    snd_pcm_sframes_t room() { return snd_pcm_avail_update(pcm_); } // may end the stream, as all below
    snd_pcm_sframes_t rewindable() { return snd_pcm_rewindable(pcm_); }

    long prepare();
    long write(snd_pcm_uframes_t frames, std::uint64_t key); // of noise
    long rewind(snd_pcm_uframes_t frames);
    long forward(snd_pcm_uframes_t frames);
    long start();
    long pause();
    long resume();
    long drain();
    long drop();
    long wait(int timeout_ms);

private:
    template <class Call> long noted(Kind kind, std::int64_t frames, std::uint64_t key, Call&& call);
    int set_hardware();
    int set_software();
    long write_mapped(snd_pcm_uframes_t frames, std::uint64_t key);
    long write_planes(snd_pcm_uframes_t frames, std::uint64_t key);
    void fill(std::byte* at, std::size_t step, unsigned channel, std::int64_t position, snd_pcm_uframes_t frames,
              std::uint64_t key) const;
    bool horizon(std::int64_t& position);

    Journal& journal_;
    Shape shape_;
    snd_pcm_t* pcm_ = nullptr;
    std::int64_t position_ = 0; // from prepare on, where the next write goes
    std::int64_t started_ns_ = 0;
    std::vector<std::byte> memory_;
};

} // namespace ringmix::stress
