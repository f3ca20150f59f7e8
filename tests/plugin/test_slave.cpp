// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The device that a node names must be the one that its server plays to.

#include "plugin/slave.h"
#include "support.h"

#include <cstdarg>
#include <cstdio>

using namespace ringmix::test;
using ringmix::plugin::plays_to;

namespace {
std::string said;

void keep(const char*, int, const char*, int, const char* format, ...)
{
    char text[1000];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    said += text;
}
} // namespace

TEST_CASE("a name of ALSA's and a server's name of the same device")
{
    for (const char* slave : {"auto", "hw-PCH-0-0", "hw:PCH", "hw:PCH,0", "hw:PCH,0,0", "hw:CARD=PCH",
                              "hw:DEV=0,CARD=PCH", "hw:CARD=PCH,DEV=0,SUBDEV=0", "hw:{ CARD PCH DEV 0 }"}) {
        CAPTURE(std::string(slave));
        CHECK(plays_to(slave, "hw-PCH-0-0"));
        CHECK(plays_to(slave, "")); // not told
    }
    CHECK(plays_to("hw:3,1", "hw-3-1-0")); // the id of this card could not be told
    CHECK(plays_to("hw:PCH", "hw-PCH-0-3"));
    CHECK(plays_to("virtual", "virtual"));
    CHECK(plays_to("auto", "virtual"));
}

TEST_CASE("names of other devices, and of none")
{
    for (const char* slave : {"hw:PCH,1", "hw:PCH,0,1", "hw:HDMI", "hw:CARD=HDMI,DEV=0", "hw:7", "virtual", "null",
                              "surely-nobody-has-this", "hw:", "hw-PCH-0", "hw-PCH-0-00"}) {
        CAPTURE(std::string(slave));
        const Quiet quiet;
        CHECK(!plays_to(slave, "hw-PCH-0-0"));
    }
    for (const char* slave : {"hw:0", "hw:PCH", "default"}) {
        CAPTURE(std::string(slave));
        CHECK(!plays_to(slave, "virtual"));
    }
}

TEST_CASE("a PCM whose slave is not its server's device is refused, with both names")
{
    Server server;
    for (const char* slave : {"hw:1,0", "hw:2,0", "hw:CARD=Headset"}) {
        CAPTURE(std::string(slave));
        snd_pcm_t* pcm = nullptr;
        said.clear();
        snd_lib_error_set_handler(keep);
        const int error = Pcm::try_open(&pcm, node(server, "slave \"" + std::string(slave) + "\""));
        snd_lib_error_set_handler(nullptr);
        CHECK(error == -EBUSY);
        CHECK(pcm == nullptr);
        CHECK(said.find(slave) != std::string::npos);
        CHECK(said.find("virtual") != std::string::npos);
    }
    CHECK(eventually([&] { return server.clients() == 0; }));
    for (const char* slave : {"auto", "virtual"}) {
        CAPTURE(std::string(slave));
        snd_pcm_t* pcm = nullptr;
        REQUIRE(Pcm::try_open(&pcm, node(server, "slave " + std::string(slave))) == 0);
        CHECK(snd_pcm_close(pcm) == 0);
    }
}
