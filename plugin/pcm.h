// SPDX-License-Identifier: LGPL-2.1-or-later
//
// pcm.h: an opened ringmix PCM: libasound's ioplug on one side, a client's track on the other.
//
// libasound calls start, stop, pointer, transfer, pause and delay under the PCM's own lock, the
// rest without it. The callbacks of the data path allocate, lock, log and throw nothing; their only
// system calls are those of the timer.

#pragma once

#include "client/attachment.h"
#include "client/track.h"
#include "os/timer.h"
#include "plugin/config.h"
#include "plugin/pointers.h"

#include <alsa/asoundlib.h>
#include <alsa/pcm_external.h>
#include <atomic>
#include <memory>
#include <sys/types.h>

namespace ringmix::plugin {

class Pcm {
public:
    explicit Pcm(const Settings& settings); // throws client::ClientError, std::system_error
    Pcm(const Pcm&) = delete;
    Pcm& operator=(const Pcm&) = delete;

    // Makes the libasound side; afterwards libasound owns this object (close deletes it).
    int create(const char* name, snd_pcm_stream_t direction, int mode);
    // What its server plays to, as in protocol::Welcome.
    std::string device() { return std::string(core::text_of(attachment_->connection().welcome().device)); }
    snd_pcm_t* handle() const noexcept { return io_.pcm; }
    snd_pcm_ioplug_t* ioplug() noexcept { return &io_; }

private:
    friend struct Callbacks;

    int set_constraints(int mode);
    int configure();
    unsigned most_channels() const noexcept;
    int check_map() const;
    std::vector<std::uint8_t> positions() const;
    bool choose_routing(const std::vector<std::uint8_t>& positions, core::Routing& routing) const;
    void prepare() noexcept;
    int start() noexcept;
    snd_pcm_sframes_t pointer() noexcept;
    void transfer(const snd_pcm_channel_area_t* areas, snd_pcm_uframes_t offset, snd_pcm_uframes_t size) noexcept;
    int delay(snd_pcm_sframes_t* frames) const noexcept;
    int drain() noexcept;
    unsigned short ready_events() noexcept;
    unsigned channel_position(unsigned channel, unsigned channels) const noexcept;
    snd_pcm_chmap_query_t** query_chmaps() const noexcept;
    snd_pcm_chmap_t* get_chmap() const noexcept;
    int set_chmap(const snd_pcm_chmap_t& map);

    bool lost() noexcept;
    bool adopt() noexcept;
    void follow_reset() noexcept;
    std::int64_t drained_position(std::int64_t before) noexcept;
    bool stops_at_xrun() const noexcept;
    bool underrun(std::int64_t hw_position) noexcept;
    bool full_in_pause() const noexcept;
    snd_pcm_sframes_t hold_writer() noexcept;
    std::uint64_t position_of(std::uint64_t appl_ptr) const noexcept { return pointers_.position_of(appl_ptr); }
    bool writable(std::uint64_t appl) const noexcept;
    std::uint64_t next_event(snd_pcm_state_t state, std::uint64_t appl) const noexcept;
    void arm() noexcept { arm_for(io_.state, position_of(io_.appl_ptr)); }
    void arm_for(snd_pcm_state_t state, std::uint64_t appl) noexcept;
    void wake() noexcept;
    void set_timer(std::uint64_t event, std::int64_t time_ns) noexcept;

    snd_pcm_ioplug_t io_{};
    Settings settings_;
    std::unique_ptr<client::Attachment> attachment_;
    std::unique_ptr<client::Track> track_;
    pid_t opener_; // the process that both belong to
    os::Timer timer_;

    std::vector<std::uint8_t> positions_; // of the channels, if the program has set them

    // sw_params
    snd_pcm_uframes_t avail_min_ = 1;
    snd_pcm_uframes_t stop_threshold_ = 0;

    Pointers pointers_;
    bool late_ = false; // frames were written too late: an xrun

    // See full_in_pause():
    bool holding_ = false;        // a writer is being sent to wait, the PCM is RUNNING for a moment
    unsigned truths_ = 0;         // how often pointer() says no frame too much before it does
    std::atomic<int> lookers_{0}; // calls that are no writer's

    std::atomic<std::uint64_t> armed_event_{0};      // what the timer waits for: a position, or one of pcm.cpp's
    std::atomic<std::int64_t> armed_ns_{0};          // and when that will be
    std::atomic<std::uint64_t> armed_generation_{0}; // of the device, when arm_for() looked last
};

} // namespace ringmix::plugin
