// SPDX-License-Identifier: LGPL-2.1-or-later
#include "server/options.h"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <getopt.h>
#include <string>
#include <vector>

using namespace ringmix;
using server::Options;
using server::UsageError;

namespace {

Options parse(std::vector<std::string> words)
{
    words.insert(words.begin(), "ringmixd");
    std::vector<char*> argv;
    for (std::string& word : words)
        argv.push_back(word.data());
    argv.push_back(nullptr);
    return server::parse_options(static_cast<int>(words.size()), argv.data());
}

// The text of the UsageError; empty if there is none.
std::string refusal(const std::vector<std::string>& words)
{
    try {
        parse(words);
        return {};
    } catch (const UsageError& error) {
        return error.what();
    }
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

} // namespace

TEST_CASE("options: defaults")
{
    const Options options = parse({});
    CHECK(options.action == Options::Action::run);
    CHECK(options.wishes.device == "auto");
    CHECK(options.wishes.output.empty());
    CHECK(options.wishes.format == 0);
    CHECK(options.wishes.rate == 0);
    CHECK(options.wishes.channels == 0);
    CHECK(options.wishes.period_frames == 0);
    CHECK(options.wishes.buffer_frames == 0);
    CHECK(options.name == "default");
    CHECK(options.socket.empty());
    CHECK(options.socket_mode == 0600);
    CHECK(options.idle_seconds < 0);
    CHECK_FALSE(options.autostarted);
    CHECK(options.arena_bytes == 0); // by the rate
    CHECK(options.log_level == server::LogLevel::info);
}

TEST_CASE("options: all of them")
{
    const Options options = parse({"--device", "virtual",  "--output=-",   "--rate",      "44100",  "--channels",
                                   "6",        "--format", "S24_3LE",      "--period",    "256",    "--buffer",
                                   "1024",     "--name",   "studio-1.a_B", "--socket",    "/tmp/s", "--socket-mode",
                                   "0660",     "--idle",   "never",        "--arena",     "64",     "--clip",
                                   "hard",     "--dither", "none",         "--log-level", "debug"});
    CHECK(options.wishes.device == "virtual");
    CHECK(options.wishes.output == "-");
    CHECK(options.wishes.rate == 44100);
    CHECK(options.wishes.channels == 6);
    CHECK(options.wishes.format == abi::format_s24_3);
    CHECK(options.wishes.period_frames == 256);
    CHECK(options.wishes.buffer_frames == 1024);
    CHECK(options.name == "studio-1.a_B");
    CHECK(options.socket == "/tmp/s");
    CHECK(options.socket_mode == 0660);
    CHECK(options.idle_seconds < 0);
    CHECK(options.arena_bytes == std::uint64_t{64} << 20);
    CHECK(options.log_level == server::LogLevel::debug);
}

TEST_CASE("options: idle")
{
    CHECK(parse({"--autostarted"}).autostarted);
    CHECK(parse({}).end_seconds < 0);
    CHECK(parse({"--autostarted"}).idle_seconds == 0); // the device is free at once
    CHECK(parse({"--autostarted"}).end_seconds == 5);
    CHECK(parse({"--idle", "2.5"}).idle_seconds == 2.5);
    CHECK(parse({"--idle", "2.5"}).end_seconds < 0);
    CHECK(parse({"--idle", "0", "--autostarted"}).idle_seconds == 0);
    CHECK(parse({"--idle", "0", "--autostarted"}).end_seconds == 0);
    CHECK(contains(refusal({"--device", "virtual", "--output", "x.wav", "--idle", "5"}), "--idle"));
    CHECK(parse({"--autostarted", "--idle", "60"}).idle_seconds == 60);
    CHECK(parse({"--autostarted", "--idle", "60"}).end_seconds == 60);
    CHECK(parse({"--autostarted", "--idle", "never"}).idle_seconds < 0);
    CHECK(parse({"--autostarted", "--idle", "never"}).end_seconds < 0);
    for (const char* value : {"", "-1", "-0", "inf", "nan", "1e3", "5s", " 5", "1000001"}) {
        CAPTURE(value);
        CHECK(contains(refusal({"--idle", value}), "--idle"));
    }
}

TEST_CASE("options: numbers are whole and in range")
{
    struct Case {
        const char* option;
        std::vector<const char*> good;
        std::vector<const char*> bad;
    };
    const std::vector<Case> cases{
        {"--rate",
         {"1000", "768000"},
         {"999", "768001", "", "abc", "48k", "-48000", "48000.0", "0x100", "99999999999"}},
        {"--channels", {"1", "32"}, {"0", "33"}},
        {"--period", {"1", "524288"}, {"0", "524289"}},
        {"--buffer", {"2", "1048576"}, {"1", "1048577"}},
        {"--arena", {"1", "1024"}, {"0", "1025", "4M"}},
        {"--socket-mode", {"0", "600", "0777"}, {"1000", "8", "rw", "", "-1"}},
    };
    for (const Case& test : cases) {
        for (const char* value : test.good)
            CHECK(refusal({test.option, value}) == "");
        for (const char* value : test.bad) {
            const std::string text = refusal({test.option, value});
            CAPTURE(text);
            CHECK(contains(text, test.option));
            CHECK(contains(text, fmt::format("'{}'", value)));
        }
    }
    CHECK(contains(refusal({"--period", "512", "--buffer", "1023"}), "--buffer"));
}

TEST_CASE("options: formats of devices only, by ALSA's names")
{
    CHECK(parse({"--format", "S16_LE"}).wishes.format == abi::format_s16);
    CHECK(parse({"--format", "S32_LE"}).wishes.format == abi::format_s32);
    CHECK(parse({"--format", "float_le"}).wishes.format == abi::format_float);
    for (const char* name : {"U8", "FLOAT64_LE", "S16_BE", "16", ""}) {
        const std::string text = refusal({"--format", name});
        CAPTURE(text);
        CHECK(contains(text, "S16_LE, S24_LE, S24_3LE, S32_LE, FLOAT_LE"));
    }
}

TEST_CASE("options: other values that are refused")
{
    CHECK(contains(refusal({"--name", "../x"}), "--name"));
    CHECK(contains(refusal({"--name", ""}), "--name"));
    CHECK(contains(refusal({"--device", ""}), "--device"));
    CHECK(contains(refusal({"--socket", ""}), "--socket"));
    CHECK(contains(refusal({"--log-level", "loud"}), "error, warning, info or debug"));
    for (const char* value : {"brick", "tpdf", "Soft", "?", ""})
        CHECK(contains(refusal({"--clip", value}), "hard or soft"));
    for (const char* value : {"soft", "rpdf", "tpd", "?", ""})
        CHECK(contains(refusal({"--dither", value}), "none or tpdf"));
    CHECK(contains(refusal({"--device", "hw:0", "--output", "x.wav"}), "--output"));
    CHECK(refusal({"--output", "x.wav", "--device", "virtual"}) == "");
}

TEST_CASE("options: clipping and dither")
{
    CHECK(parse({}).clip == abi::clip_hard);
    CHECK(parse({}).dither == abi::dither_none);
    CHECK(parse({"--clip", "soft"}).clip == abi::clip_soft);
    CHECK(parse({"--clip", "soft"}).dither == abi::dither_none);
    CHECK(parse({"--dither=tpdf"}).dither == abi::dither_tpdf);
    CHECK(parse({"--clip", "soft", "--clip", "hard"}).clip == abi::clip_hard);
    const std::string text = refusal({"--format", "FLOAT_LE", "--dither", "tpdf"});
    CHECK_MESSAGE(contains(text, "--dither: tpdf is for integer samples, not for --format FLOAT_LE"), text);
    CHECK(refusal({"--format", "FLOAT_LE", "--dither", "none", "--clip", "soft"}) == "");
}

TEST_CASE("options: mistakes are named")
{
    CHECK(contains(refusal({"--frobnicate"}), "--frobnicate"));
    CHECK(contains(refusal({"--frobnicate=3", "--rate", "48000"}), "--frobnicate=3"));
    CHECK(contains(refusal({"-x"}), "-x"));
    CHECK(contains(refusal({"--rate"}), "--rate: a value is missing"));
    CHECK(contains(refusal({"--autostarted=yes"}), "--autostarted takes no value"));
    CHECK(contains(refusal({"--rate", "48000", "hw:0"}), "'hw:0'"));
}

TEST_CASE("options: help and version")
{
    CHECK(parse({"--help"}).action == Options::Action::help);
    CHECK(parse({"-h"}).action == Options::Action::help);
    CHECK(parse({"--version"}).action == Options::Action::version);
    CHECK(parse({"-V"}).action == Options::Action::version);
    const std::string text = server::usage_text();
    for (const char* option :
         {"--device",    "--output", "--rate",        "--channels", "--format", "--period",  "--buffer",
          "--name",      "--socket", "--socket-mode", "--idle",     "--clip",   "--dither",  "--arena",
          "--log-level", "--help",   "--version",     "S24_3LE",    "FLOAT_LE", "hard|soft", "none|tpdf"})
        CHECK(contains(text, option));
    CHECK_FALSE(contains(text, "--autostarted"));
}
