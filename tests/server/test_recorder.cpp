// SPDX-License-Identifier: LGPL-2.1-or-later

#include "server/recorder.h"

#include <atomic>
#include <csignal>
#include <cstring>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <stdlib.h>
#include <string>
#include <sys/resource.h>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace ringmix;
using namespace ringmix::server;

namespace {

// Keeps what it gets; takes at most `grain` bytes at once; blocked or broken on demand.
struct TestSink final : OutputSink {
    explicit TestSink(std::vector<std::byte>& bytes) : out(bytes) {}
    std::int64_t write(std::span<const std::byte> bytes) noexcept override
    {
        if (blocked)
            return 0;
        if (out.size() >= fails_at)
            return -ENOSPC;
        const std::size_t n = std::min(bytes.size(), grain);
        out.insert(out.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(n));
        return static_cast<std::int64_t>(n);
    }
    int finish() noexcept override
    {
        finished++;
        return 0;
    }
    std::vector<std::byte>& out;
    std::size_t grain = 1000;
    std::size_t fails_at = ~std::size_t{0};
    bool blocked = false;
    int finished = 0;
};

Recorder::Settings settings(std::uint32_t format, std::uint32_t channels, std::uint64_t capacity, bool pack = false)
{
    Recorder::Settings s;
    s.format = format;
    s.channels = channels;
    s.pack = pack;
    s.capacity = capacity;
    s.text = "test";
    return s;
}

// Frames of S16 stereo whose content is their number.
std::vector<std::uint32_t> numbered(std::uint32_t first, std::size_t count)
{
    std::vector<std::uint32_t> frames(count);
    for (std::size_t i = 0; i < count; i++)
        frames[i] = first + static_cast<std::uint32_t>(i);
    return frames;
}

void push(Recorder& recorder, const std::vector<std::uint32_t>& frames)
{
    recorder.push(reinterpret_cast<const std::byte*>(frames.data()), frames.size());
}

std::vector<std::uint32_t> as_frames(const std::vector<std::byte>& bytes)
{
    std::vector<std::uint32_t> frames(bytes.size() / 4);
    std::memcpy(frames.data(), bytes.data(), frames.size() * 4);
    return frames;
}

struct Bench {
    explicit Bench(const Recorder::Settings& s)
    {
        auto made = std::make_unique<TestSink>(out);
        sink = made.get();
        recorder = std::make_unique<Recorder>(std::move(made), s);
    }
    std::vector<std::byte> out;
    TestSink* sink;
    std::unique_ptr<Recorder> recorder;
};

struct TempFile {
    TempFile() { ::close(mkstemp(path.data())); }
    ~TempFile() { std::filesystem::remove(path); }
    std::string path = "/tmp/ringmix-test-XXXXXX";
};

} // namespace

TEST_CASE("what is pushed comes out, across the ring's end and the sink's grains")
{
    Bench bench(settings(abi::format_s16, 2, 4096));
    std::vector<std::uint32_t> expected;
    for (std::uint32_t i = 0; i < 100; i++) {
        const auto frames = numbered(i * 1000 + 1, 1 + i * 7 % 300);
        push(*bench.recorder, frames);
        expected.insert(expected.end(), frames.begin(), frames.end());
        if (i % 3 == 0) {
            bench.recorder->push_silence(i);
            expected.insert(expected.end(), i, 0);
        }
        while (bench.recorder->write()) {
        }
    }
    CHECK(as_frames(bench.out) == expected);
    CHECK(bench.recorder->state().frames == expected.size());
    CHECK(bench.recorder->state().lost_frames == 0);
    CHECK(bench.recorder->state().text == "test");
}

TEST_CASE("24 bits in 32 become 24 bits in 3 bytes")
{
    Bench bench(settings(abi::format_s24, 1, 4096, true));
    const std::uint32_t samples[] = {0x00123456, 0xff800000, 0x007fffff};
    bench.recorder->push(reinterpret_cast<const std::byte*>(samples), 3);
    bench.recorder->push_silence(1);
    bench.recorder->write();
    const std::vector<std::byte> expected = {std::byte{0x56}, std::byte{0x34}, std::byte{0x12}, std::byte{0},
                                             std::byte{0},    std::byte{0x80}, std::byte{0xff}, std::byte{0xff},
                                             std::byte{0x7f}, std::byte{0x00}, std::byte{0},    std::byte{0}};
    CHECK(bench.out == expected);
    CHECK(bench.recorder->state().frames == 4);
}

TEST_CASE("frames that do not fit are counted, and silence stands in their place")
{
    Bench bench(settings(abi::format_s16, 2, 4096));
    bench.sink->blocked = true;
    push(*bench.recorder, numbered(1, 900));    // fits: 8 + 3600 bytes
    push(*bench.recorder, numbered(901, 900));  // 488 bytes left: 120 frames
    push(*bench.recorder, numbered(1801, 200)); // nothing left
    CHECK_FALSE(bench.recorder->write());
    CHECK(bench.recorder->state().lost_frames == 980);
    bench.sink->blocked = false;
    while (bench.recorder->write()) {
    }
    push(*bench.recorder, numbered(2001, 100));
    while (bench.recorder->write()) {
    }
    const auto got = as_frames(bench.out);
    REQUIRE(got.size() == 2100);
    bool right = true;
    for (std::uint32_t i = 0; i < got.size(); i++)
        right = right && got[i] == (i < 1020 || i >= 2000 ? i + 1 : 0);
    CHECK(right);
    CHECK(bench.recorder->state().lost_frames == 980);
    CHECK(bench.recorder->state().frames == 2100);
}

TEST_CASE("a long silence takes no room")
{
    Bench bench(settings(abi::format_s16, 2, 4096));
    bench.recorder->push_silence(1'000'000);
    int turns = 0;
    while (bench.recorder->write())
        turns++;
    CHECK(turns == 3); // of a MiB each
    CHECK(bench.out.size() == 4'000'000);
    CHECK(bench.recorder->state().lost_frames == 0);
}

TEST_CASE("an output that fails is given up, playback is not")
{
    Bench bench(settings(abi::format_s16, 2, 4096));
    bench.sink->fails_at = 2000;
    push(*bench.recorder, numbered(1, 1000));
    while (bench.recorder->write()) {
    }
    const OutputState state = bench.recorder->state();
    CHECK(state.frames == 500);
    CHECK(state.lost_frames == 500);
    CHECK(state.text == "test: stopped after 500 frames: No space left on device");
    CHECK(bench.sink->finished == 1);
    push(*bench.recorder, numbered(1, 5000));
    CHECK_FALSE(bench.recorder->write());
    CHECK(bench.recorder->state().lost_frames == 5500);
    CHECK(bench.out.size() == 2000);
}

TEST_CASE("what is left is written at the end")
{
    std::vector<std::byte> out;
    {
        Recorder recorder(std::make_unique<TestSink>(out), settings(abi::format_s16, 2, 4096));
        push(recorder, numbered(1, 700));
    }
    CHECK(as_frames(out) == numbered(1, 700));
}

TEST_CASE("engine and butler at the same time")
{
    Bench bench(settings(abi::format_s16, 2, 1 << 14));
    std::atomic<bool> done{false};
    std::thread butler([&] {
        while (!done.load(std::memory_order_acquire))
            if (!bench.recorder->write())
                std::this_thread::yield();
        while (bench.recorder->write()) {
        }
    });
    constexpr std::uint32_t rounds = 2000, size = 97;
    for (std::uint32_t i = 0; i < rounds; i++) {
        push(*bench.recorder, numbered(i * size + 1, size));
        if (i % 16 == 0)
            std::this_thread::yield();
    }
    done.store(true, std::memory_order_release);
    butler.join();
    while (bench.recorder->write()) {
    }
    push(*bench.recorder, {}); // says what was lost last
    while (bench.recorder->write()) {
    }
    const auto got = as_frames(bench.out);
    REQUIRE(got.size() == rounds * size);
    std::uint64_t silent = 0;
    bool right = true;
    for (std::uint32_t i = 0; i < got.size(); i++) {
        silent += got[i] == 0 ? 1 : 0;
        right = right && (got[i] == 0 || got[i] == i + 1);
    }
    CHECK(right);
    CHECK(silent == bench.recorder->state().lost_frames);
}

TEST_CASE("a full device and a closed pipe end the output with a reason")
{
    std::signal(SIGPIPE, SIG_IGN);
    const int full = ::open("/dev/full", O_WRONLY | O_CLOEXEC);
    REQUIRE(full >= 0);
    {
        Recorder recorder(std::make_unique<RawSink>(full), settings(abi::format_s16, 2, 4096));
        push(recorder, numbered(1, 10));
        CHECK_FALSE(recorder.write());
        CHECK(recorder.state().text == "test: stopped after 0 frames: No space left on device");
        CHECK(recorder.state().lost_frames == 10);
    }
    ::close(full);

    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    Recorder recorder(std::make_unique<RawSink>(ends[1]), settings(abi::format_s16, 2, 1 << 18));
    push(recorder, numbered(1, 40000)); // more than a pipe holds
    recorder.write();                   // must not block
    const std::uint64_t taken = recorder.state().frames;
    CHECK(taken > 0);
    CHECK(taken < 40000);
    ::close(ends[0]);
    recorder.write();
    CHECK(recorder.state().text.find("Broken pipe") != std::string::npos);
    CHECK(recorder.state().frames + recorder.state().lost_frames == 40000);
    ::close(ends[1]);
}

TEST_CASE("a WAV file on a full disk stays valid")
{
    const TempFile file;
    DeviceShape shape{};
    shape.format = abi::format_s24;
    shape.channels = 2;
    shape.rate = 48000;
    shape.chmap = {3, 4};
    std::signal(SIGXFSZ, SIG_IGN);
    rlimit before{};
    ::getrlimit(RLIMIT_FSIZE, &before);
    const rlimit little{100'001, before.rlim_max};
    {
        const auto recorder = make_recorder(file.path, shape);
        CHECK(recorder->state().text == "WAV to " + file.path);
        const std::vector<std::byte> frames(30000 * 8, std::byte{0x11});
        ::setrlimit(RLIMIT_FSIZE, &little);
        recorder->push(frames.data(), 30000);
        while (recorder->write()) {
        }
        ::setrlimit(RLIMIT_FSIZE, &before);
        CHECK(recorder->state().text.find("stopped after 16649 frames: File too large") != std::string::npos);
        CHECK(recorder->state().lost_frames == 30000 - 16649);
    }
    std::ifstream in(file.path, std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(in), {}};
    std::uint32_t data = 0;
    std::memcpy(&data, bytes.data() + 100, 4);
    CHECK(data == 16649 * 6);
    CHECK(bytes.size() == 104 + data);
}
