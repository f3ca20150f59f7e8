// SPDX-License-Identifier: LGPL-2.1-or-later
//
// recorder.h: takes what a device plays from the engine and writes it to a file or a pipe.
//
// Between engine and butler lies a byte ring of records (single producer, single consumer). A slow
// or failed output never stops playback: what does not fit is counted as lost, and the output gets
// silence in its place, so that its time line stays true.

#pragma once

#include "server/device.h"
#include "server/wav.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace ringmix::server {

// Where recorded bytes go. Butler thread.
class OutputSink {
public:
    virtual ~OutputSink() = default;
    OutputSink() = default;
    OutputSink(const OutputSink&) = delete;
    OutputSink& operator=(const OutputSink&) = delete;

    // Returns how many bytes it took, 0 if it cannot take any now, or -errno.
    virtual std::int64_t write(std::span<const std::byte> bytes) noexcept = 0;
    virtual int refresh() noexcept { return 0; }
    virtual int finish() noexcept { return 0; } // nothing more will come: leave it valid
};

// `fd` (not owned), without ever blocking on a pipe whose reader is slow. SIGPIPE must be ignored.
class RawSink final : public OutputSink {
public:
    explicit RawSink(int fd) noexcept;
    std::int64_t write(std::span<const std::byte> bytes) noexcept override;

private:
    int fd_;
    std::size_t most_; // bytes that one write may take without blocking
};

class WavSink final : public OutputSink {
public:
    WavSink(const std::string& path, const WavShape& shape, bool append) : file_(path, shape, append) {}
    std::int64_t write(std::span<const std::byte> bytes) noexcept override { return file_.write(bytes); }
    int refresh() noexcept override { return file_.refresh(); }
    int finish() noexcept override { return file_.finish(); }

private:
    WavFile file_;
};

class Recorder {
public:
    struct Settings {
        std::uint32_t format;   // abi::format_* of the frames that are pushed
        std::uint32_t channels; // in a frame
        bool pack = false;      // abi::format_s24: three bytes a sample in the output
        std::uint64_t capacity; // bytes between engine and butler; rounded up to a power of two
        std::string text;       // for OutputState, while all is well
    };

    // Allocates and touches its ring. Control thread.
    Recorder(std::unique_ptr<OutputSink> sink, const Settings& settings);
    // Writes out what is left, for two seconds at most. No other thread may be in here any more.
    ~Recorder();

    // Engine: the next `frames` frames, or as many of silence. Wait-free.
    void push(const std::byte* frames, std::uint64_t count) noexcept;
    void push_silence(std::uint64_t count) noexcept;

    // Butler: see Device::write_output().
    bool write() noexcept;
    // Any thread.
    OutputState state() const;

private:
    enum class Kind : std::uint64_t { audio, silence, lost };
    struct Record {
        Kind kind = Kind::audio;
        std::uint64_t frames = 0;
    };

    std::uint64_t space() const noexcept;
    void put(const void* bytes, std::size_t count) noexcept;
    void put_header(Record record) noexcept;
    void put_run(Record record, const std::byte* frames, std::uint64_t payload_frame_bytes) noexcept;
    void lose(std::uint64_t frames) noexcept;

    bool next_record() noexcept;
    void get(void* bytes, std::size_t count) noexcept;
    void fill() noexcept;
    void count_written(std::uint64_t bytes) noexcept;
    void refresh_if_due() noexcept;
    void give_up(int error) noexcept;
    void discard() noexcept;

    const std::unique_ptr<OutputSink> sink_;
    const std::uint32_t frame_bytes_;        // in the ring
    const std::uint32_t output_frame_bytes_; // in the output
    const bool pack_;
    const std::string text_;
    std::vector<std::byte> ring_;
    std::vector<std::byte> block_; // butler: on its way to the sink

    alignas(64) std::atomic<std::uint64_t> head_{0}; // bytes ever put; engine
    std::uint64_t open_head_ = 0;                    // engine: put, not yet published
    std::uint64_t unsaid_lost_ = 0;                  // engine: lost frames that no record tells yet
    alignas(64) std::atomic<std::uint64_t> tail_{0}; // bytes ever got; butler
    Record record_;                                  // butler: what is left of the current one
    Kind block_kind_ = Kind::audio;
    std::size_t block_done_ = 0, block_end_ = 0;
    std::uint64_t bytes_out_ = 0;
    std::int64_t next_refresh_ns_ = 0;

    alignas(64) std::atomic<std::uint64_t> written_{0}; // frames; butler
    std::atomic<std::uint64_t> lost_{0};                // frames; engine and butler
    std::atomic<int> error_{0};                         // errno for which it was given up; butler
};

// What `output` (--output) asks for, for a device of `shape`; `append`: to the file that is there, which is one of
// ours. Throws std::system_error or std::runtime_error saying what is wrong with it.
std::unique_ptr<Recorder> make_recorder(const std::string& output, const DeviceShape& shape, bool append = false);

} // namespace ringmix::server
