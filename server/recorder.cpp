// SPDX-License-Identifier: LGPL-2.1-or-later

#include "server/recorder.h"

#include "core/format.h"
#include "os/timer.h"
#include "server/log.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <fmt/format.h>
#include <poll.h>
#include <stdexcept>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

namespace ringmix::server {

namespace {
constexpr std::uint64_t header_bytes = 8; // of a record: frames << 2 | kind
constexpr std::size_t block_bytes = 64 << 10;
constexpr std::uint64_t turn_bytes = 1 << 20; // that one write() puts out at most
constexpr std::int64_t refresh_ns = 500'000'000;
constexpr std::int64_t last_words_ns = 2'000'000'000;

// 24 bits in 32 -> in 3 bytes, in place.
std::size_t pack_s24(std::byte* samples, std::size_t bytes) noexcept
{
    std::size_t out = 0;
    for (std::size_t in = 0; in + 4 <= bytes; in += 4, out += 3)
        std::memmove(samples + out, samples + in, 3);
    return out;
}
} // namespace

RawSink::RawSink(int fd) noexcept : fd_(fd), most_(4096) // a pipe that polls writable has room for a page
{
    struct stat status;
    if (::fstat(fd, &status) == 0 && S_ISREG(status.st_mode))
        most_ = block_bytes;
}

std::int64_t RawSink::write(std::span<const std::byte> bytes) noexcept
{
    pollfd entry{fd_, POLLOUT, 0};
    if (::poll(&entry, 1, 0) == 0)
        return 0;
    const ssize_t n = ::write(fd_, bytes.data(), std::min(bytes.size(), most_));
    if (n >= 0)
        return n;
    return errno == EAGAIN || errno == EINTR ? 0 : -errno;
}

Recorder::Recorder(std::unique_ptr<OutputSink> sink, const Settings& settings)
    : sink_(std::move(sink)), frame_bytes_(settings.channels * core::sample_bytes(settings.format)),
      output_frame_bytes_(settings.pack ? settings.channels * 3 : frame_bytes_), pack_(settings.pack),
      text_(settings.text), ring_(static_cast<std::size_t>(std::bit_ceil(settings.capacity))), block_(block_bytes)
{
}

Recorder::~Recorder()
{
    const std::int64_t end = os::monotonic_ns() + last_words_ns;
    while (write() || block_done_ < block_end_ || head_.load(std::memory_order_relaxed) != tail_) {
        if (os::monotonic_ns() >= end)
            break;
        constexpr timespec pause{0, 1'000'000};
        ::nanosleep(&pause, nullptr);
    }
    if (error_.load(std::memory_order_relaxed) == 0)
        sink_->finish();
}

// The engine's side. Records are put together behind open_head_ and published as a whole.

std::uint64_t Recorder::space() const noexcept
{
    return ring_.size() - (open_head_ - tail_.load(std::memory_order_acquire));
}

void Recorder::put(const void* bytes, std::size_t count) noexcept
{
    const auto at = static_cast<std::size_t>(open_head_ & (ring_.size() - 1));
    const std::size_t first = std::min(count, ring_.size() - at);
    std::memcpy(ring_.data() + at, bytes, first);
    std::memcpy(ring_.data(), static_cast<const std::byte*>(bytes) + first, count - first);
    open_head_ += count;
}

void Recorder::put_header(Record record) noexcept
{
    const std::uint64_t word = record.frames << 2 | static_cast<std::uint64_t>(record.kind);
    put(&word, header_bytes);
}

void Recorder::lose(std::uint64_t frames) noexcept
{
    unsaid_lost_ += frames;
    lost_.fetch_add(frames, std::memory_order_relaxed);
}

void Recorder::put_run(Record run, const std::byte* frames, std::uint64_t payload_frame_bytes) noexcept
{
    if (unsaid_lost_ > 0 && space() >= header_bytes) {
        put_header({Kind::lost, unsaid_lost_});
        unsaid_lost_ = 0;
    }
    const std::uint64_t wanted = run.frames;
    const std::uint64_t room = space();
    if (room < header_bytes || unsaid_lost_ > 0 || error_.load(std::memory_order_relaxed) != 0)
        run.frames = 0;
    else if (payload_frame_bytes > 0)
        run.frames = std::min(wanted, (room - header_bytes) / payload_frame_bytes);
    if (run.frames > 0) {
        put_header(run);
        put(frames, static_cast<std::size_t>(run.frames * payload_frame_bytes));
    }
    head_.store(open_head_, std::memory_order_release);
    if (run.frames < wanted)
        lose(wanted - run.frames);
}

void Recorder::push(const std::byte* frames, std::uint64_t count) noexcept
{
    put_run({Kind::audio, count}, frames, frame_bytes_);
}

void Recorder::push_silence(std::uint64_t count) noexcept
{
    constexpr std::byte nothing{};
    put_run({Kind::silence, count}, &nothing, 0);
}

// The butler's side.

void Recorder::get(void* bytes, std::size_t count) noexcept
{
    const std::uint64_t tail = tail_.load(std::memory_order_relaxed);
    const auto at = static_cast<std::size_t>(tail & (ring_.size() - 1));
    const std::size_t first = std::min(count, ring_.size() - at);
    std::memcpy(bytes, ring_.data() + at, first);
    std::memcpy(static_cast<std::byte*>(bytes) + first, ring_.data(), count - first);
    tail_.store(tail + count, std::memory_order_release);
}

bool Recorder::next_record() noexcept
{
    if (head_.load(std::memory_order_acquire) == tail_.load(std::memory_order_relaxed))
        return false;
    std::uint64_t word;
    get(&word, header_bytes);
    record_ = {static_cast<Kind>(word & 3), word >> 2};
    return true;
}

void Recorder::fill() noexcept
{
    const std::uint64_t frames = std::min<std::uint64_t>(record_.frames, block_.size() / frame_bytes_);
    block_kind_ = record_.kind;
    block_done_ = 0;
    block_end_ = static_cast<std::size_t>(frames * frame_bytes_);
    if (record_.kind == Kind::audio)
        get(block_.data(), block_end_);
    else
        std::memset(block_.data(), 0, block_end_); // silence in every format that a device has
    if (pack_)
        block_end_ = pack_s24(block_.data(), block_end_);
    record_.frames -= frames;
}

void Recorder::count_written(std::uint64_t bytes) noexcept
{
    bytes_out_ += bytes;
    written_.store(bytes_out_ / output_frame_bytes_, std::memory_order_relaxed);
}

void Recorder::refresh_if_due() noexcept
{
    const std::int64_t now = os::monotonic_ns();
    if (now < next_refresh_ns_)
        return;
    next_refresh_ns_ = now + refresh_ns;
    if (const int error = sink_->refresh(); error < 0)
        give_up(-error);
}

void Recorder::give_up(int error) noexcept
{
    sink_->finish();
    if (block_kind_ != Kind::lost)
        lost_.fetch_add((block_end_ - block_done_ + output_frame_bytes_ - 1) / output_frame_bytes_,
                        std::memory_order_relaxed);
    block_done_ = block_end_ = 0;
    error_.store(error, std::memory_order_relaxed);
    try {
        log_line(LogLevel::error, "--output: " + state().text);
    } catch (const std::exception&) {
        // no memory for the line; the status tells as well
    }
    discard();
}

void Recorder::discard() noexcept
{
    while (record_.frames > 0 || next_record()) {
        if (record_.kind == Kind::audio)
            tail_.store(tail_.load(std::memory_order_relaxed) + record_.frames * frame_bytes_,
                        std::memory_order_release);
        if (record_.kind != Kind::lost)
            lost_.fetch_add(record_.frames, std::memory_order_relaxed);
        record_.frames = 0;
    }
}

bool Recorder::write() noexcept
{
    if (error_.load(std::memory_order_relaxed) != 0) {
        discard();
        return false;
    }
    const std::uint64_t end = bytes_out_ + turn_bytes;
    while (bytes_out_ < end) {
        if (block_done_ == block_end_) {
            if (record_.frames == 0 && !next_record()) {
                refresh_if_due();
                return false;
            }
            fill();
        }
        const std::int64_t n = sink_->write({block_.data() + block_done_, block_end_ - block_done_});
        if (n < 0)
            give_up(static_cast<int>(-n));
        if (n <= 0)
            return false;
        block_done_ += static_cast<std::size_t>(n);
        count_written(static_cast<std::uint64_t>(n));
    }
    refresh_if_due();
    return true;
}

OutputState Recorder::state() const
{
    OutputState state;
    state.frames = written_.load(std::memory_order_relaxed);
    state.lost_frames = lost_.load(std::memory_order_relaxed);
    const int error = error_.load(std::memory_order_relaxed);
    state.text = error == 0 ? text_
                            : fmt::format("{}: stopped after {} frames: {}", text_, state.frames,
                                          std::generic_category().message(error));
    return state;
}

std::unique_ptr<Recorder> make_recorder(const std::string& output, const DeviceShape& shape, bool append)
{
    constexpr std::uint64_t seconds = 8, most = 64 << 20;
    const std::uint32_t bytes = core::sample_bytes(shape.format);
    Recorder::Settings settings;
    settings.format = shape.format;
    settings.channels = shape.channels;
    settings.capacity = std::clamp<std::uint64_t>(seconds * shape.rate * shape.channels * bytes, 1 << 16, most);
    if (output == "-") {
        struct stat status;
        if (::fstat(STDOUT_FILENO, &status) < 0)
            throw std::system_error(errno, std::generic_category(), "cannot write raw samples to stdout");
        if (::isatty(STDOUT_FILENO) != 0)
            throw std::runtime_error("will not write raw samples to a terminal: send stdout to a file or a pipe");
        settings.text = fmt::format("raw {} to stdout", core::format_name(shape.format));
        return std::make_unique<Recorder>(std::make_unique<RawSink>(STDOUT_FILENO), settings);
    }
    settings.pack = shape.format == abi::format_s24;
    settings.text = fmt::format("WAV to {}", output);
    const WavShape wav{shape.channels, shape.rate, settings.pack ? 24 : bytes * 8, shape.chmap,
                       shape.format == abi::format_float};
    return std::make_unique<Recorder>(std::make_unique<WavSink>(output, wav, append), settings);
}

} // namespace ringmix::server
