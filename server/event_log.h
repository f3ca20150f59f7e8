// SPDX-License-Identifier: LGPL-2.1-or-later
//
// event_log.h: FILE.jsonl beside the --output FILE: one JSON object a line for each start and end
// of a client's stream, so that the recording can be compared or lined up. Butler thread only.
//
//   {"event":"start","client":0,"name":"aplay","pid":71,"stream":1,"first_frame":4711}
//   {"event":"end","client":0,"name":"aplay","pid":71,"stream":1,
//    "first_frame":4711,"last_frame":9010,"frames":4300,"fade_frames":0}
//
//   {"event":"gain","client":0,"name":"aplay","pid":71,"first_frame":9000,"frames":240,
//    "from":4194304,"to":2097152}
//
//   {"event":"missed","client":0,"name":"aplay","pid":71,"streams":3}
//
// The log is complete but for what it says itself: "missed" tells how many streams of a client have ended
// without a trace, since there were more than abi::stream_records of them between two looks of the engine.
//
// Frames are those of the device, and of the WAV file: its first is 0. first_frame plays the
// stream's first sample (after a pause: the first one after it); last_frame is the last that carries
// any of it, less than first_frame if none was played. The last fade_frames frames were faded out
// linearly, from the full gain on: gain(i) = floor(gain * (fade_frames - i) / fade_frames), with 22
// fractional bits.

// A "gain" changes all that the client plays from first_frame on, queued or not: frame i of the ramp
// has gain floor((from * (frames - i) + to * i) / frames), and the frames behind it have `to`.

#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>

namespace ringmix::server {

struct ClientName {
    std::string name;
    std::uint32_t pid = 0;
};

struct PlayedExtent {
    std::uint64_t first;
    std::uint64_t end; // frame after the last
    std::uint64_t fade_frames;
};

struct GainRamp {
    std::uint64_t first; // frame
    std::uint64_t frames;
    std::uint32_t from; // fixed point, 22 fractional bits
    std::uint32_t to;
};

class EventLog {
public:
    // `output`: empty or "-": no log is kept; `append`: to the one that is there. Throws std::runtime_error if the log
    // cannot be made.
    explicit EventLog(const std::string& output, bool append = false);

    void gain(std::uint32_t client, const ClientName& who, const GainRamp& ramp);
    void stream_start(std::uint32_t client, const ClientName& who, std::uint32_t stream, std::uint64_t first);
    void missed(std::uint32_t client, const ClientName& who, std::uint64_t streams);
    void stream_end(std::uint32_t client, const ClientName& who, std::uint32_t stream, const PlayedExtent& played);

private:
    void write(const std::string& line) noexcept;

    struct Close {
        void operator()(std::FILE* file) const noexcept { std::fclose(file); }
    };
    std::unique_ptr<std::FILE, Close> file_;
    std::string path_;
};

} // namespace ringmix::server
