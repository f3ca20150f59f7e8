// SPDX-License-Identifier: LGPL-2.1-or-later

#include "server/wav.h"

#include <cstdio>
#include <cstring>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <map>
#include <stdlib.h>
#include <string>
#include <sys/stat.h>
#include <system_error>

using namespace ringmix;
using namespace ringmix::server;

namespace {

struct Parsed {
    std::string kind;
    std::uint64_t riff_bytes = 0;
    std::map<std::string, std::pair<std::size_t, std::uint64_t>> chunks; // offset of the content, its size
    std::string bytes;

    std::uint64_t number(const char* chunk, std::size_t offset, unsigned size) const
    {
        std::uint64_t value = 0;
        std::memcpy(&value, bytes.data() + chunks.at(chunk).first + offset, size);
        return value;
    }
};

// Goes through the chunks as any reader would.
Parsed parse(const std::string& bytes)
{
    const auto u32 = [&](std::size_t at) {
        std::uint32_t value = 0;
        REQUIRE(at + 4 <= bytes.size());
        std::memcpy(&value, bytes.data() + at, 4);
        return value;
    };
    Parsed wav;
    wav.bytes = bytes;
    wav.kind = bytes.substr(0, 4);
    wav.riff_bytes = u32(4);
    REQUIRE(bytes.substr(8, 4) == "WAVE");
    for (std::size_t at = 12; at + 8 <= bytes.size();) {
        const std::string tag = bytes.substr(at, 4);
        std::uint64_t size = u32(at + 4);
        if (tag == "data" && size == 0xffffffff)
            size = wav.number("ds64", 8, 8);
        wav.chunks[tag] = {at + 8, size};
        if (tag == "ds64")
            wav.riff_bytes = wav.number("ds64", 0, 8);
        at += 8 + size + (size & 1);
    }
    return wav;
}

std::string text(const std::vector<std::byte>& bytes)
{
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string contents(const std::string& path)
{
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

struct TempDir {
    TempDir() { REQUIRE(mkdtemp(path.data()) != nullptr); }
    ~TempDir() { std::filesystem::remove_all(path); }
    std::string file(const char* name) const { return path + "/" + name; }
    std::string path = "/tmp/ringmix-test-XXXXXX";
};

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

constexpr WavShape stereo16{2, 48000, 16, {3, 4}};
constexpr WavShape mono24{1, 44100, 24, {2}};

} // namespace

TEST_CASE("plain header of 16-bit stereo")
{
    const Parsed wav = parse(text(wav_header(stereo16, 400)));
    CHECK(wav.kind == "RIFF");
    CHECK(wav.riff_bytes == wav.bytes.size() - 8 + 400);
    CHECK(wav.chunks.at("JUNK").second == 28);
    CHECK(wav.chunks.at("fmt ").second == 16);
    CHECK(wav.number("fmt ", 0, 2) == 1);
    CHECK(wav.number("fmt ", 2, 2) == 2);
    CHECK(wav.number("fmt ", 4, 4) == 48000);
    CHECK(wav.number("fmt ", 8, 4) == 192000);
    CHECK(wav.number("fmt ", 12, 2) == 4);
    CHECK(wav.number("fmt ", 14, 2) == 16);
    CHECK(wav.chunks.at("data").second == 400);
    CHECK(wav.chunks.at("data").first == wav.bytes.size());
}

TEST_CASE("extensible header of more channels or bits")
{
    const Parsed deep = parse(text(wav_header(mono24, 3)));
    CHECK(deep.chunks.at("fmt ").second == 40);
    CHECK(deep.number("fmt ", 0, 2) == 0xfffe);
    CHECK(deep.number("fmt ", 12, 2) == 3);
    CHECK(deep.number("fmt ", 18, 2) == 24);
    CHECK(deep.number("fmt ", 20, 4) == 4); // front centre
    CHECK(deep.number("fmt ", 24, 2) == 1); // PCM
    CHECK(deep.riff_bytes == deep.bytes.size() - 8 + 4);

    constexpr WavShape surround{6, 48000, 16, {3, 4, 5, 6, 7, 8}};
    CHECK(parse(text(wav_header(surround, 0))).chunks.at("fmt ").second == 40);
}

TEST_CASE("headers of floats")
{
    const Parsed stereo = parse(text(wav_header({2, 48000, 32, {3, 4}, true}, 800)));
    CHECK(stereo.kind == "RIFF");
    CHECK(stereo.riff_bytes == stereo.bytes.size() - 8 + 800);
    CHECK(stereo.chunks.at("fmt ").second == 18);
    CHECK(stereo.number("fmt ", 0, 2) == 3); // IEEE float
    CHECK(stereo.number("fmt ", 8, 4) == 384000);
    CHECK(stereo.number("fmt ", 12, 2) == 8);
    CHECK(stereo.number("fmt ", 14, 2) == 32);
    CHECK(stereo.number("fmt ", 16, 2) == 0);
    CHECK(stereo.chunks.at("fact").second == 4);
    CHECK(stereo.number("fact", 0, 4) == 100);
    CHECK(stereo.chunks.at("data").second == 800);
    CHECK(stereo.chunks.at("data").first == stereo.bytes.size());

    constexpr WavShape surround{6, 48000, 32, {3, 4, 5, 6, 7, 8}, true};
    const Parsed many = parse(text(wav_header(surround, 240)));
    CHECK(many.number("fmt ", 0, 2) == 0xfffe);
    CHECK(many.number("fmt ", 18, 2) == 32);
    CHECK(many.number("fmt ", 24, 2) == 3);
    CHECK(many.number("fact", 0, 4) == 10);
    CHECK(many.chunks.at("data").first == many.bytes.size());

    const Parsed huge = parse(text(wav_header(surround, std::uint64_t{24} << 30)));
    CHECK(huge.kind == "RF64");
    CHECK(huge.number("ds64", 16, 8) == std::uint64_t{1} << 30);
    CHECK(huge.number("fact", 0, 4) == 0xffffffff); // what counts is in ds64
    CHECK(huge.bytes.size() == many.bytes.size());

    // Integers of as many bits stay what they are.
    const Parsed integers = parse(text(wav_header({2, 48000, 32, {3, 4}}, 800)));
    CHECK(integers.number("fmt ", 24, 2) == 1);
    CHECK(integers.chunks.count("fact") == 0);
}

TEST_CASE("speakers are named only where their order is that of WAV files")
{
    CHECK(wav_channel_mask(stereo16) == 3);
    CHECK(wav_channel_mask({4, 48000, 16, {3, 4, 5, 6}}) == 0x33);
    CHECK(wav_channel_mask({6, 48000, 16, {3, 4, 7, 8, 5, 6}}) == 0x3f);
    CHECK(wav_channel_mask({6, 48000, 16, {3, 4, 5, 6, 7, 8}}) == 0);
    CHECK(wav_channel_mask({2, 48000, 16, {0, 0}}) == 0);
}

TEST_CASE("a header beyond the limit is RF64")
{
    constexpr std::uint64_t huge = std::uint64_t{5} << 30;
    const Parsed wav = parse(text(wav_header(stereo16, huge)));
    CHECK(wav.kind == "RF64");
    CHECK(wav.number("ds64", 8, 8) == huge);
    CHECK(wav.number("ds64", 16, 8) == huge / 4);
    CHECK(wav.riff_bytes == wav.bytes.size() - 8 + huge);
    // The same places for the same things: a header is replaced in place.
    CHECK(wav.bytes.size() == wav_header(stereo16, 0).size());
    CHECK(wav_header(stereo16, 0xffffff00).front() == std::byte{'R'});
    CHECK(text(wav_header(stereo16, 0xffffff00)).substr(0, 4) == "RIFF");
    CHECK(text(wav_header(stereo16, 0xffffffff - 60)).substr(0, 4) == "RF64");
}

TEST_CASE("a file is valid after each refresh")
{
    const TempDir dir;
    const std::string path = dir.file("a.wav");
    {
        WavFile file(path, stereo16);
        CHECK(parse(contents(path)).chunks.at("data").second == 0);
        CHECK(file.write(bytes_of("aabbccddee")) == 10);
        CHECK(file.refresh() == 0);
        CHECK(file.frames() == 2);
        CHECK(parse(contents(path)).chunks.at("data").second == 8); // whole frames only
        CHECK(file.write(bytes_of("ff")) == 2);
        CHECK(file.refresh() == 0);
        const Parsed wav = parse(contents(path));
        CHECK(wav.bytes.substr(wav.chunks.at("data").first) == "aabbccddeeff");
        CHECK(file.write(bytes_of("x")) == 1);
    }
    const Parsed wav = parse(contents(path));
    CHECK(wav.bytes.substr(wav.chunks.at("data").first) == "aabbccddeeff"); // the torn frame was cut off
    CHECK(wav.riff_bytes == wav.bytes.size() - 8);
}

TEST_CASE("a file is gone on with where it ended")
{
    const TempDir dir;
    const std::string path = dir.file("a.wav");
    {
        WavFile file(path, mono24);
        file.write(bytes_of("abc")); // and a byte to make it even
    }
    {
        WavFile file(path, mono24, true);
        CHECK(file.frames() == 1);
        file.write(bytes_of("defghi"));
    }
    const Parsed wav = parse(contents(path));
    CHECK(wav.bytes.substr(wav.chunks.at("data").first, 9) == "abcdefghi");
    WavFile fresh(dir.file("new.wav"), mono24, true); // there was none
    CHECK(fresh.frames() == 0);
}

TEST_CASE("odd data is padded, and goes on in the right place")
{
    const TempDir dir;
    const std::string path = dir.file("odd.wav");
    WavFile file(path, mono24);
    file.write(bytes_of("abc"));
    file.refresh();
    Parsed wav = parse(contents(path));
    CHECK(wav.bytes.substr(wav.chunks.at("data").first) == std::string("abc\0", 4));
    CHECK(wav.riff_bytes == wav.bytes.size() - 8);
    file.write(bytes_of("def"));
    file.finish();
    wav = parse(contents(path));
    CHECK(wav.bytes.substr(wav.chunks.at("data").first) == "abcdef");
}

TEST_CASE("a file that outgrows RIFF becomes RF64")
{
    const TempDir dir;
    const std::string path = dir.file("big.wav");
    WavFile file(path, stereo16, false, 100);
    file.write(bytes_of("aabb"));
    file.refresh();
    CHECK(parse(contents(path)).kind == "RIFF");
    file.write(bytes_of(std::string(40, 'c')));
    file.refresh();
    const Parsed wav = parse(contents(path));
    CHECK(wav.kind == "RF64");
    CHECK(wav.chunks.at("data").second == 44);
    CHECK(wav.number("ds64", 16, 8) == 11);
    CHECK(wav.riff_bytes == wav.bytes.size() - 8);
    CHECK(wav.bytes.substr(wav.chunks.at("data").first, 8) == "aabbcccc");
}

TEST_CASE("only regular files can be recorded to")
{
    const TempDir dir;
    CHECK_THROWS_AS(WavFile("/nowhere/at/all.wav", stereo16), std::system_error);
    CHECK_THROWS_AS(WavFile("/dev/null", stereo16), std::system_error);
    const std::string fifo = dir.file("fifo");
    REQUIRE(mkfifo(fifo.c_str(), 0600) == 0);
    CHECK_THROWS_AS(WavFile(fifo, stereo16), std::system_error); // and does not wait for a reader
}
