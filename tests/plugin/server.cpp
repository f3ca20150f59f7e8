// SPDX-License-Identifier: LGPL-2.1-or-later
//
// server.cpp: the ringmixd of the tests and its recordings.

#include "support.h"

#include "client/connection.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace ringmix::test {

namespace {

constexpr std::uint64_t header_frames = 64; // more than a WAV header is long

std::string ringmixd()
{
    const char* path = std::getenv("RINGMIX_SERVER");
    REQUIRE_MESSAGE(path != nullptr, "RINGMIX_SERVER must name the ringmixd to test");
    return path;
}

pid_t start(const std::vector<std::string>& arguments, const std::string& log)
{
    std::vector<char*> argv;
    for (const std::string& argument : arguments)
        argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    const pid_t pid = ::fork();
    if (pid != 0)
        return pid;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::dup2(::open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), 2);
    ::execv(argv[0], argv.data());
    ::_exit(127);
}

std::string contents(const std::string& path)
{
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

std::int64_t number(const std::string& line, const std::string& key)
{
    const auto at = line.find("\"" + key + "\":");
    return at == std::string::npos ? -1 : std::stoll(line.substr(at + key.size() + 3));
}

template <class Number> Number little_endian(const std::string& bytes, std::size_t at)
{
    Number value{};
    std::memcpy(&value, bytes.data() + at, sizeof value);
    return value;
}

} // namespace

std::int64_t now_ms()
{
    using namespace std::chrono;
    return duration_cast<milliseconds>(steady_clock::now().time_since_epoch()).count();
}

Server::Server(std::vector<std::string> options)
{
    const char* base = std::getenv("TMPDIR");
    directory_ = std::string(base != nullptr ? base : "/tmp") + "/ringmix-plugin-XXXXXX";
    REQUIRE(::mkdtemp(directory_.data()) != nullptr);
    socket_ = directory_ + "/socket";
    output_ = directory_ + "/played.wav";
    std::vector<std::string> arguments{ringmixd(), "--device", "virtual", "--output",    output_,
                                       "--socket", socket_,    "--rate",  "48000",       "--format",
                                       "S32_LE",   "--period", "480",     "--log-level", "warning"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    pid_ = start(arguments, directory_ + "/log");
    REQUIRE(pid_ > 0);
    const bool answers = eventually([&] { return std::filesystem::exists(socket_) && clients() == 0; });
    REQUIRE_MESSAGE(answers, contents(directory_ + "/log"));
}

Server::~Server()
{
    kill();
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
}

unsigned Server::clients() const
{
    client::Address address;
    address.socket = socket_;
    address.role = protocol::role_tool;
    try {
        client::Connection connection(address);
        return connection.ask<protocol::Status>(core::make_message<protocol::AskStatus>()).clients;
    } catch (const client::ClientError&) {
        return ~0u;
    }
}

void Server::signal(int signal_number) const { REQUIRE(::kill(pid_, signal_number) == 0); }

void Server::kill()
{
    if (pid_ <= 0)
        return;
    ::kill(pid_, SIGKILL);
    reap();
}

int Server::reap()
{
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR)
        ;
    pid_ = -1;
    return status;
}

std::vector<Recording::Stream> Server::events() const
{
    std::vector<Recording::Stream> streams;
    std::ifstream file(output_ + ".jsonl");
    for (std::string line; std::getline(file, line);) {
        const auto name_at = line.find("\"name\":\"") + 8;
        const std::string name = line.substr(name_at, line.find('"', name_at) - name_at);
        const auto first = static_cast<std::uint64_t>(number(line, "first_frame"));
        if (line.find("\"event\":\"start\"") != std::string::npos)
            streams.push_back({name, first, -1, 0});
        for (Recording::Stream& stream : streams)
            if (line.find("\"event\":\"end\"") != std::string::npos && stream.name == name && stream.first == first) {
                stream.fade = static_cast<std::uint64_t>(number(line, "fade_frames"));
                stream.last = number(line, "last_frame") - static_cast<std::int64_t>(stream.fade);
            }
    }
    return streams;
}

bool Server::all_written(std::size_t streams) const
{
    const Recording now = recorded_so_far();
    return now.streams.size() >= streams &&
           std::all_of(now.streams.begin(), now.streams.end(), [&](const Recording::Stream& stream) {
               return stream.last >= 0 && now.frames() > static_cast<std::uint64_t>(stream.last) + header_frames;
           });
}

Recording Server::recording(std::size_t streams)
{
    CHECK(eventually([&] { return all_written(streams); }));
    signal(SIGTERM);
    CHECK_MESSAGE(reap() == 0, contents(directory_ + "/log"));
    return recorded_so_far();
}

Recording Server::recorded_so_far() const
{
    Recording recording;
    recording.streams = events();
    const std::string wav = contents(output_);
    const auto format = wav.find("fmt "), data = wav.find("data");
    if (format == std::string::npos || data == std::string::npos)
        return recording;
    recording.channels = little_endian<std::uint16_t>(wav, format + 10);
    REQUIRE(little_endian<std::uint16_t>(wav, format + 22) == 32);
    recording.samples.resize((wav.size() - data - 8) / 4);
    std::memcpy(recording.samples.data(), wav.data() + data + 8, recording.samples.size() * 4);
    return recording;
}

Recording::Stream Recording::only(const std::string& name) const
{
    const auto is_it = [&](const Stream& stream) { return stream.name == name; };
    REQUIRE(std::count_if(streams.begin(), streams.end(), is_it) == 1);
    return *std::find_if(streams.begin(), streams.end(), is_it);
}

// Whether a stream fades out there: others are heard together with that.
bool Recording::fading(std::uint64_t frame) const
{
    return std::any_of(streams.begin(), streams.end(), [&](const Stream& stream) {
        const auto full = static_cast<std::uint64_t>(stream.last + 1);
        return frame >= full && frame < full + stream.fade;
    });
}

} // namespace ringmix::test
