// SPDX-License-Identifier: LGPL-2.1-or-later

#include "server/event_log.h"

#include "core/json.h"
#include "server/log.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace ringmix::server {

namespace {
std::string quoted(const std::string& text)
{
    char buffer[512];
    return {buffer, core::json_string(buffer, sizeof buffer, text)};
}
} // namespace

EventLog::EventLog(const std::string& output, bool append)
{
    if (output.empty() || output == "-")
        return;
    path_ = output + ".jsonl";
    file_.reset(std::fopen(path_.c_str(), append ? "ae" : "we"));
    if (!file_)
        throw std::runtime_error(fmt::format("cannot write {}: {}", path_, std::strerror(errno)));
}

void EventLog::gain(std::uint32_t client, const ClientName& who, const GainRamp& ramp)
{
    if (file_)
        write(fmt::format(
            R"({{"event":"gain","client":{},"name":{},"pid":{},"first_frame":{},"frames":{},"from":{},"to":{}}})",
            client, quoted(who.name), who.pid, ramp.first, ramp.frames, ramp.from, ramp.to));
}

void EventLog::stream_start(std::uint32_t client, const ClientName& who, std::uint32_t stream, std::uint64_t first)
{
    if (file_)
        write(fmt::format(R"({{"event":"start","client":{},"name":{},"pid":{},"stream":{},"first_frame":{}}})", client,
                          quoted(who.name), who.pid, stream, first));
}

void EventLog::stream_end(std::uint32_t client, const ClientName& who, std::uint32_t stream, const PlayedExtent& played)
{
    if (!file_)
        return;
    const std::uint64_t frames = played.end > played.first ? played.end - played.first : 0;
    write(fmt::format(R"({{"event":"end","client":{},"name":{},"pid":{},"stream":{},"first_frame":{},"last_frame":{},)"
                      R"("frames":{},"fade_frames":{}}})",
                      client, quoted(who.name), who.pid, stream, played.first,
                      static_cast<std::int64_t>(played.first + frames) - 1, frames,
                      std::min(played.fade_frames, frames)));
}

void EventLog::missed(std::uint32_t client, const ClientName& who, std::uint64_t streams)
{
    if (file_)
        write(fmt::format(R"({{"event":"missed","client":{},"name":{},"pid":{},"streams":{}}})", client,
                          quoted(who.name), who.pid, streams));
}

// A full disk must not stop the butler: the log ends, and says so once.
void EventLog::write(const std::string& line) noexcept
{
    if (std::fprintf(file_.get(), "%s\n", line.c_str()) >= 0 && std::fflush(file_.get()) == 0)
        return;
    log_line(LogLevel::error, path_ + ": " + std::strerror(errno) + "; no more events are logged");
    file_.reset();
}

} // namespace ringmix::server
