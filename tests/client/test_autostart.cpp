// SPDX-License-Identifier: LGPL-2.1-or-later
#include "client/autostart.h"
#include "fake_server.h"
#include "os/lock_file.h"

#include <cerrno>
#include <fstream>
#include <iterator>
#include <sys/stat.h>
#include <unistd.h>

using namespace ringmix;
using namespace ringmix::tests;

namespace {

// A program that stands in for ringmixd.
std::string script(const RuntimeDirectory& directory, const std::string& body)
{
    const std::string path = directory.file("server.sh");
    std::ofstream(path) << "#!/bin/sh\n" << body;
    ::chmod(path.c_str(), 0700);
    return path;
}

} // namespace

TEST_CASE("autostart: the command")
{
    const RuntimeDirectory directory;
    ::setenv("RINGMIX_SERVER", "/opt/ringmixd", 1);
    Address address;
    address.slave = "hw:1";
    CHECK(client::server_command(address) ==
          std::vector<std::string>{"/opt/ringmixd", "--autostarted", "--name", "default", "--device", "hw:1"});
    address.socket = "/tmp/s";
    CHECK(client::server_command(address) == std::vector<std::string>{"/opt/ringmixd", "--autostarted", "--name",
                                                                      "default", "--device", "hw:1", "--socket",
                                                                      "/tmp/s"});
    ::unsetenv("RINGMIX_SERVER");
    CHECK(client::server_command(address).front().ends_with("ringmixd"));
}

TEST_CASE("autostart: a server that cannot start says why")
{
    const RuntimeDirectory directory;
    Address address = player(directory.file("deep/er/s"));
    address.autostart = true;
    address.slave = "hw:9";
    SUBCASE("in its own words, the last ones")
    {
        const std::string path =
            script(directory, "echo ringmixd: trying >&2\necho \"ringmixd: error: no $*\" >&2\nexit 1\n");
        ::setenv("RINGMIX_SERVER", path.c_str(), 1);
        const Outcome outcome = connect(address);
        CAPTURE(outcome.text);
        CHECK(outcome.error == ENODEV);
        CHECK(
            outcome.says("ringmixd: error: no --autostarted --name default --device hw:9 --socket " + address.socket));
        CHECK_FALSE(outcome.says("trying"));
    }
    SUBCASE("without a word")
    {
        ::setenv("RINGMIX_SERVER", script(directory, "exit 1\n").c_str(), 1);
        const Outcome outcome = connect(address);
        CHECK(outcome.error == ENODEV);
        CHECK(outcome.says("server.sh"));
    }
    SUBCASE("no such program")
    {
        ::setenv("RINGMIX_SERVER", directory.file("none").c_str(), 1);
        const Outcome outcome = connect(address);
        CAPTURE(outcome.text);
        CHECK(outcome.error == ENOENT);
        CHECK(outcome.says(directory.file("none")));
        CHECK(outcome.says("RINGMIX_SERVER"));
    }
    SUBCASE("never ready")
    {
        ::setenv("RINGMIX_SERVER", script(directory, "exec sleep 20\n").c_str(), 1);
        address.start_ms = 100;
        CHECK(connect(address).error == ETIMEDOUT);
    }
}

TEST_CASE("autostart: what a server tells of its start beside words")
{
    const RuntimeDirectory directory;
    Address address = player(directory.file("s"));
    address.autostart = true;
    SUBCASE("with its errno")
    {
        const std::string path = script(directory, "echo 'ringmixd: errno: 16' >&2\n"
                                                   "echo 'ringmixd: error: device hw:9 is busy' >&2\nexit 1\n");
        ::setenv("RINGMIX_SERVER", path.c_str(), 1);
        const Outcome outcome = connect(address);
        CAPTURE(outcome.text);
        CHECK(outcome.error == EBUSY);
        CHECK(outcome.says("could not start: ringmixd: error: device hw:9 is busy"));
        CHECK_FALSE(outcome.says("errno"));
    }
    SUBCASE("with an errno that is none")
    {
        const std::string path = script(directory, "echo 'ringmixd: errno: -1' >&2\necho no >&2\nexit 1\n");
        ::setenv("RINGMIX_SERVER", path.c_str(), 1);
        CHECK(connect(address).error == ENODEV);
    }
    SUBCASE("ready, and then gone")
    {
        ::setenv("RINGMIX_SERVER", script(directory, "echo 'ringmixd: ready: virtual' >&2\nexit 0\n").c_str(), 1);
        const Outcome outcome = connect(address);
        CAPTURE(outcome.text);
        CHECK(outcome.error == ENODEV);
        CHECK_FALSE(outcome.says("could not start"));
        CHECK((outcome.says("had ended again") && outcome.says(address.socket) && outcome.says("journalctl")));
    }
}

TEST_CASE("autostart: a directory that cannot be written")
{
    const RuntimeDirectory directory;
    std::ofstream(directory.file("file")) << "no directory";
    Address address = player(directory.file("missing/s"));
    address.autostart = true;
    ::setenv("RINGMIX_SERVER", "/bin/false", 1);
    if (::geteuid() != 0) {
        ::chmod(directory.file(".").c_str(), 0500);
        const Outcome outcome = connect(address);
        CAPTURE(outcome.text);
        CHECK(outcome.error == EACCES);
        CHECK(outcome.says("cannot start a ringmix server"));
        ::chmod(directory.file(".").c_str(), 0700);
    }
    address.socket = directory.file("file/s");
    const Outcome outcome = connect(address);
    CAPTURE(outcome.text);
    CHECK(outcome.error == ENOTDIR);
}

TEST_CASE("autostart: one program starts the server, the others wait for it")
{
    const RuntimeDirectory directory;
    Address address = player(directory.file("s"));
    address.autostart = true;
    // The script counts its runs and asks the test's thread for the server.
    const std::string path = script(directory, "echo run >> " + directory.file("runs") + "\ntouch " +
                                                   directory.file("go") + "\nsleep 0.2\n");
    ::setenv("RINGMIX_SERVER", path.c_str(), 1);
    std::atomic<bool> ending{false};
    std::thread starter([&] {
        while (!ending && !std::filesystem::exists(directory.file("go")))
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        if (ending)
            return;
        const FakeServer server(address.socket, [&](int socket) {
            expect<protocol::Hello>(socket);
            welcome(socket, welcome_for(1));
        });
        while (!ending)
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
    });
    std::vector<Outcome> outcomes(6);
    std::vector<std::thread> clients;
    for (Outcome& outcome : outcomes)
        clients.emplace_back([&] { outcome = connect(address); });
    for (std::thread& thread : clients)
        thread.join();
    ending = true;
    starter.join();
    for (const Outcome& outcome : outcomes)
        CHECK(outcome.text == "");
    std::ifstream runs(directory.file("runs"));
    CHECK(std::string(std::istreambuf_iterator<char>(runs), {}) == "run\n");
}

TEST_CASE("autostart: waiting for another starter ends")
{
    const RuntimeDirectory directory;
    Address address = player(directory.file("s"));
    address.autostart = true;
    address.start_ms = 60;
    ::setenv("RINGMIX_SERVER", "/bin/false", 1);
    const os::Descriptor lock = os::try_lock_file(address.socket + ".start");
    REQUIRE(lock);
    const Outcome outcome = connect(address);
    CHECK(outcome.error == ETIMEDOUT);
    CHECK(outcome.says("another program"));
}

TEST_CASE("autostart: a server that is just ending is replaced")
{
    const RuntimeDirectory directory;
    Address address = player(directory.file("s"));
    address.autostart = true;
    ::setenv("RINGMIX_SERVER", "/bin/true", 1);
    std::atomic<int> connections{0};
    const FakeServer server(address.socket, [&](int socket) {
        if (++connections < 4)
            return; // hangs up
        expect<protocol::Hello>(socket);
        welcome(socket, welcome_for(1));
    });
    CHECK(connect(address).text == "");
}
