// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The node's keys, channel maps, gains, and what hw_params offers.

#include "support.h"

#include <algorithm>
#include <cmath>

using namespace ringmix::test;

namespace {
const Signal tone(SND_PCM_FORMAT_S16_LE, 2), mono(SND_PCM_FORMAT_S16_LE, 1);

// A stream begins a few ms after its start. Who loses the processor for longer just then loses its first frames: what
// is asked here is which channels are heard, and how loud.
constexpr std::uint64_t frames = 9600;
constexpr std::uint64_t judged_from = 4800;

void play(Pcm& pcm, const Signal& what)
{
    Setup setup;
    setup.channels = what.channels();
    setup.buffer = frames;
    pcm.configure(setup);
    pcm.write(what, 0, frames);
    REQUIRE(snd_pcm_drain(pcm) == 0);
}

// Where device channel `to` has not played channel `from` of `what` (-1: silence); -1: nowhere.
std::int64_t wrong(const Recording& recording, const Signal& what, unsigned to, int from)
{
    for (std::uint64_t i = judged_from; i < frames; i++) {
        const std::int32_t wanted = from < 0 ? 0 : what.expected(i, static_cast<unsigned>(from));
        if (recording.samples[(recording.streams[0].first + i) * recording.channels + to] != wanted)
            return static_cast<std::int64_t>(i);
    }
    return -1;
}

int open_error(const std::string& definition, snd_pcm_stream_t direction = SND_PCM_STREAM_PLAYBACK)
{
    const Quiet quiet;
    snd_pcm_t* pcm = nullptr;
    const int error = Pcm::try_open(&pcm, definition, 0, direction);
    if (error == 0)
        snd_pcm_close(pcm);
    return error;
}
} // namespace

TEST_CASE("mistakes in the configuration are refused")
{
    Server server;
    for (const char* keys : {"instance { a 1 }",
                             "instance \"\"",
                             "instance \"a/b\"",
                             "instance \"..\"",
                             "client_name { a 1 }",
                             "client_name \"\"",
                             "slave [ 1 ]",
                             "slave \"\"",
                             "autostart maybe",
                             "autostart 7",
                             "autostart { a 1 }",
                             "gain_db loud",
                             "gain_db 12.5",
                             "gain_db 100",
                             "gain_db { a 1 }",
                             "map 1",
                             "map [ ]",
                             "map [ -1 ]",
                             "map [ x ]",
                             "map [ 0 32 ]",
                             "map { 0 0 2 1 }",
                             "map { a 1 }",
                             "map [ 0.5 ]",
                             "gain 3",
                             "Instance x",
                             "card 0",
                             "map [ 0 0 ]",
                             "map [ 0 2 ]",
                             "map [ 0 1 2 ]"}) {
        CAPTURE(std::string(keys));
        CHECK(open_error(node(server, keys)) == -EINVAL);
    }
    CHECK(open_error("type ringmix socket { a 1 }") == -EINVAL);
    CHECK(open_error("type ringmix socket \"\"") == -EINVAL);
    CHECK(eventually([&] { return server.clients() == 0; }));
}

TEST_CASE("what is no mistake is taken")
{
    Server server;
    for (const char* keys :
         {"", "comment \"anything\" hint { show on description \"x\" }", "instance 1", "client_name 7", "slave virtual",
          "gain_db 12", "gain_db 0", "gain_db -6.02", "gain_db -1000.0", "map [ 1 0 ]", "map [ 1 ]"}) {
        CAPTURE(std::string(keys));
        CHECK(open_error(node(server, keys)) == 0);
    }
}

TEST_CASE("capture is refused")
{
    Server server;
    CHECK(open_error(node(server, ""), SND_PCM_STREAM_CAPTURE) == -EINVAL);
    CHECK(server.clients() == 0);
}

TEST_CASE("who lists what can record does not find ringmix, who lists what can play does")
{
    void** hints = nullptr;
    REQUIRE(snd_device_name_hint(-1, "pcm", &hints) == 0);
    const auto text = [](void* hint, const char* key) {
        char* value = snd_device_name_get_hint(hint, key);
        const std::string copy = value == nullptr ? "" : value;
        std::free(value);
        return copy;
    };
    unsigned found = 0;
    for (void** hint = hints; *hint != nullptr; hint++)
        if (text(*hint, "NAME") == "ringmix") {
            found++;
            CHECK(text(*hint, "IOID") == "Output");
            CHECK(text(*hint, "DESC") == "Shared playback, mixed directly into the device (ringmix)");
        }
    CHECK(found == 1);
    snd_device_name_free_hint(hints);
}

TEST_CASE("stereo and mono clients on a stereo device")
{
    Server server;
    Pcm pcm(server);
    SUBCASE("stereo")
    {
        play(pcm, tone);
        const Recording recording = server.recording();
        CHECK(wrong(recording, tone, 0, 0) == -1);
        CHECK(wrong(recording, tone, 1, 1) == -1);
    }
    SUBCASE("mono is heard on both")
    {
        play(pcm, mono);
        const Recording recording = server.recording();
        CHECK(wrong(recording, mono, 0, 0) == -1);
        CHECK(wrong(recording, mono, 1, 0) == -1);
    }
    SUBCASE("nine channels do not fit")
    {
        snd_pcm_hw_params_t* hw;
        snd_pcm_hw_params_alloca(&hw);
        REQUIRE(snd_pcm_hw_params_any(pcm, hw) >= 0);
        CHECK(snd_pcm_hw_params_set_channels(pcm, hw, 9) == -EINVAL);
    }
}

TEST_CASE("map sends channels elsewhere")
{
    SUBCASE("swapped")
    {
        Server server;
        Pcm pcm(server, "test", "map [ 1 0 ]");
        play(pcm, tone);
        const Recording recording = server.recording();
        CHECK(wrong(recording, tone, 0, 1) == -1);
        CHECK(wrong(recording, tone, 1, 0) == -1);
    }
    SUBCASE("one channel, to the right")
    {
        Server server;
        Pcm pcm(server, "test", "map [ 1 ]");
        play(pcm, mono);
        const Recording recording = server.recording();
        CHECK(wrong(recording, mono, 0, -1) == -1);
        CHECK(wrong(recording, mono, 1, 0) == -1);
    }
    SUBCASE("the third and fourth of six")
    {
        Server server({"--channels", "6"});
        Pcm pcm(server, "test", "map [ 2 3 ]");
        play(pcm, tone);
        const Recording recording = server.recording();
        for (unsigned channel = 0; channel < 6; channel++)
            CHECK(wrong(recording, tone, channel, channel == 2 ? 0 : channel == 3 ? 1 : -1) == -1);
    }
    SUBCASE("none: stereo is for the front")
    {
        Server server({"--channels", "6"});
        Pcm pcm(server);
        play(pcm, tone);
        const Recording recording = server.recording();
        for (unsigned channel = 0; channel < 6; channel++)
            CHECK(wrong(recording, tone, channel, channel < 2 ? static_cast<int>(channel) : -1) == -1);
    }
}

TEST_CASE("channel maps are told")
{
    Server server;
    {
        Pcm pcm(server);
        snd_pcm_chmap_query_t** maps = snd_pcm_query_chmaps(pcm);
        REQUIRE(maps != nullptr);
        REQUIRE(maps[0] != nullptr);
        REQUIRE(maps[1] != nullptr);
        CHECK(maps[0]->type == SND_CHMAP_TYPE_FIXED);
        CHECK(maps[0]->map.channels == 1);
        CHECK(maps[0]->map.pos[0] == SND_CHMAP_MONO);
        CHECK(maps[1]->map.channels == 2);
        CHECK(maps[1]->map.pos[1] == SND_CHMAP_FR);
        snd_pcm_free_chmaps(maps);
        pcm.configure({});
        snd_pcm_chmap_t* map = snd_pcm_get_chmap(pcm);
        REQUIRE(map != nullptr);
        CHECK(map->channels == 2);
        CHECK(map->pos[0] == SND_CHMAP_FL);
        CHECK(map->pos[1] == SND_CHMAP_FR);
        CHECK(snd_pcm_set_chmap(pcm, map) == 0);
        std::free(map);
    }
    Pcm pcm(server, "test", "map [ 1 0 ]");
    snd_pcm_chmap_query_t** maps = snd_pcm_query_chmaps(pcm);
    REQUIRE(maps != nullptr);
    REQUIRE(maps[0] != nullptr);
    CHECK(maps[1] == nullptr);
    CHECK(maps[0]->map.channels == 2);
    CHECK(maps[0]->map.pos[0] == SND_CHMAP_FR);
    CHECK(maps[0]->map.pos[1] == SND_CHMAP_FL);
    snd_pcm_free_chmaps(maps);
    pcm.configure({});
    snd_pcm_chmap_t* map = snd_pcm_get_chmap(pcm);
    REQUIRE(map != nullptr);
    CHECK(snd_pcm_set_chmap(pcm, map) == 0);
    std::swap(map->pos[0], map->pos[1]);
    CHECK(snd_pcm_set_chmap(pcm, map) == -EINVAL); // the key decides
    std::free(map);
}

TEST_CASE("gain_db")
{
    Server server;
    for (const double db : {-6.02, -200.0, 3.0, 12.0}) {
        CAPTURE(db);
        Pcm pcm(server, "gain" + std::to_string(db), "gain_db " + std::to_string(db));
        play(pcm, tone);
    }
    const Recording recording = server.recording(4);
    REQUIRE(recording.streams.size() == 4);
    for (const double db : {-6.02, -200.0, 3.0, 12.0}) {
        CAPTURE(db);
        const std::uint64_t first = recording.only("gain" + std::to_string(db)).first;
        const auto gain = static_cast<std::int64_t>(std::lround(std::pow(10.0, db / 20) * (1 << 22)));
        std::int64_t off = -1;
        for (std::uint64_t i = judged_from; i < frames && off < 0; i++) {
            const std::int64_t exact = (tone.expected(i, 1) * gain + (1 << 21)) >> 22;
            if (recording.samples[(first + i) * 2 + 1] != std::clamp<std::int64_t>(exact, INT32_MIN, INT32_MAX))
                off = static_cast<std::int64_t>(i);
        }
        CHECK(off == -1);
    }
}
