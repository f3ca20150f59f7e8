// SPDX-License-Identifier: LGPL-2.1-or-later
#include "client/connection.h"

#include "client/autostart.h"
#include "os/paths.h"
#include "os/process.h"
#include "os/socket.h"

#include <cerrno>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

namespace ringmix::client {
namespace {

// A connection that was closed without an answer: while connecting, a sign of a server that ends.
struct ServerGone : ClientError {
    using ClientError::ClientError;
};

std::string error_words(int error) { return std::system_category().message(error); }

std::string joined(const std::vector<std::string>& paths)
{
    std::string list;
    for (const std::string& path : paths)
        list += (list.empty() ? "" : ", ") + path;
    return list;
}

std::string failure_text(int error, const std::string& path)
{
    if (error == EACCES || error == EPERM)
        return "permission denied on " + path + ": its server does not take this user (see ringmixd's --socket-mode)";
    if (error == ENAMETOOLONG)
        return path + " has " + std::to_string(path.size()) + " bytes, too long for a socket's path (at most " +
               std::to_string(os::max_socket_path) +
               "): choose a shorter one with the key socket, RINGMIX_SOCKET or XDG_RUNTIME_DIR";
    if (error == EPROTOTYPE)
        return path + " is a socket, but not one of ringmix";
    return "cannot connect to " + path + ": " + error_words(error);
}

// The directory cannot be entered, so it is not even known whether there is a socket.
bool hidden(const std::string& path)
{
    struct stat status;
    return ::lstat(path.c_str(), &status) < 0 && errno == EACCES;
}

std::vector<std::string> paths_of(const Address& address)
{
    return address.socket.empty() ? os::client_socket_paths(address.instance) : std::vector{address.socket};
}

// How to start the server that `address` looks for.
std::string start_advice(const Address& address)
{
    std::string advice = "start one with `ringmixd";
    if (address.instance != "default")
        advice += " --name " + address.instance;
    if (!address.socket.empty())
        advice += " --socket " + address.socket;
    advice += "`";
    if (address.role == protocol::role_player && !address.autostart)
        advice += " or set autostart yes";
    return advice;
}

std::string versions(unsigned theirs, unsigned ours, const char* what)
{
    return "the server speaks version " + std::to_string(theirs) + " of the " + what + ", this program version " +
           std::to_string(ours) + "; install the same release of ringmix for both and restart the server";
}

} // namespace

Connection::Connection(const Address& address) : answer_ms_(address.answer_ms)
{
    if (!os::valid_instance_name(address.instance))
        throw ClientError(EINVAL, "'" + address.instance +
                                      "' is no name of a ringmix instance: 1 to 64 letters, digits, '.', '_' or '-', "
                                      "not starting with a dot");
    const std::vector<std::string> paths = paths_of(address);
    if (try_paths(address, paths) == Attempt::connected)
        return;
    if (!address.autostart)
        report_failure(address, paths);
    start_server(address, paths);
}

Attempt Connection::try_paths(const Address& address, const std::vector<std::string>& paths)
{
    failures_.clear();
    refused_ = false;
    Attempt outcome = Attempt::nobody;
    for (const std::string& path : paths) {
        const Attempt attempt = try_path(address, path);
        if (attempt == Attempt::connected)
            return attempt;
        if (attempt == Attempt::closing)
            outcome = attempt;
    }
    return outcome;
}

// Refusals by a server that answers (other version, no free slot) are thrown: it is the right one.
Attempt Connection::try_path(const Address& address, const std::string& path)
{
    try {
        failed_ = false;
        socket_ = os::connect_to(path);
        path_ = path;
        greet(address);
        return Attempt::connected;
    } catch (const std::system_error& error) {
        const int number = error.code().value();
        if (number == ECONNREFUSED)
            refused_ = true;
        else if (number == EACCES && hidden(path))
            failures_.push_back(
                {path, number, "directory " + os::directory_of(path) + " cannot be entered by this user", true});
        else if (number != ENOENT)
            failures_.push_back({path, number, failure_text(number, path), false});
        return Attempt::nobody;
    } catch (const ServerGone& error) {
        failures_.push_back({path, error.error, error.what(), false});
        return Attempt::closing;
    }
}

void Connection::report_failure(const Address& address, const std::vector<std::string>& paths) const
{
    std::string closed;
    for (const Failure& failure : failures_) {
        if (!failure.hidden)
            throw ClientError(failure.error, failure.text);
        closed += " (" + failure.text + ")";
    }
    const int error = refused_ ? ECONNREFUSED : failures_.size() == paths.size() ? EACCES : ENOENT;
    throw ClientError(error, "no ringmix server answers on " + joined(paths) + closed + "; " + start_advice(address));
}

void Connection::start_server(const Address& address, const std::vector<std::string>& paths)
{
    const std::string listen_path = address.socket.empty() ? os::server_socket_path(address.instance) : address.socket;
    std::string denied; // on another path: said if the start fails as well
    int denied_error = 0;
    for (const Failure& failure : failures_) {
        if (failure.error == ENODEV)
            continue; // was just ending
        if (failure.path == listen_path && failure.hidden)
            report_failure(address, paths);
        if (failure.path == listen_path)
            throw ClientError(failure.error, failure.text); // a new server could not listen there either
        denied = failure.text;
        denied_error = failure.hidden ? ENODEV : failure.error;
    }
    try {
        // Once more asked for: the start may make the directory of the last one.
        autostart(address, listen_path, [&] { return try_paths(address, paths_of(address)); });
    } catch (const ClientError& error) {
        if (denied.empty() || socket_)
            throw;
        throw ClientError(error.error == ENODEV ? denied_error : error.error, error.what() + ("; " + denied));
    }
}

void Connection::greet(const Address& address)
{
    auto hello = core::make_message<protocol::Hello>();
    hello.role = address.role;
    hello.pid = static_cast<std::uint32_t>(::getpid());
    hello.gain = address.gain;
    core::put_text(hello.name, address.name.empty() ? os::program_name() : address.name);
    welcome_ = ask<protocol::Welcome>(hello);
    check_welcome(address.role);
}

void Connection::check_welcome(std::uint32_t role)
{
    if (welcome_.abi_major != abi::major_version)
        fail(EPROTO, versions(welcome_.abi_major, abi::major_version, "shared memory"));
    const std::size_t wanted = role == protocol::role_player ? protocol::welcome_descriptors : 0;
    if (descriptors_.size() != wanted)
        fail(EPROTO, "the server's welcome came with " + std::to_string(descriptors_.size()) +
                         " descriptors instead of " + std::to_string(wanted));
    if (role == protocol::role_player && welcome_.slot >= abi::max_slots)
        fail(EPROTO, "the server's welcome names slot " + std::to_string(welcome_.slot) + ", which does not exist");
}

void Connection::send_bytes(std::span<const std::byte> packet)
{
    if (!socket_ || failed_)
        fail_gone();
    try {
        os::send_packet(socket_.get(), packet);
    } catch (const std::system_error& error) {
        const int number = error.code().value();
        // An Error that the server sent before it closed may lie there unread: receive() tells.
        if (number != EPIPE && number != ECONNRESET)
            fail(number, "cannot send: " + error_words(number));
    }
}

std::uint32_t Connection::receive()
{
    received_type_ = 0;
    if (!socket_ || failed_)
        fail_gone();
    os::Packet packet;
    try {
        packet = os::receive_packet(socket_.get(), buffer_, answer_ms_);
    } catch (const std::system_error& error) {
        fail(error.code().value(), "cannot receive: " + error_words(error.code().value()));
    }
    if (packet.nothing)
        fail(ETIMEDOUT, "no answer within " + std::to_string(answer_ms_) + " ms; is the server stopped or stuck?");
    if (packet.bytes == 0)
        fail_gone();
    received_bytes_ = packet.bytes;
    const std::span<const std::byte> bytes(buffer_, packet.bytes);
    std::uint32_t type = 0;
    const core::MessageFault fault = core::check_message(bytes, type);
    if (fault == core::MessageFault::wrong_version) {
        protocol::MessageHeader header;
        std::memcpy(&header, buffer_, sizeof header);
        fail(EPROTO, versions(header.major, protocol::major_version, "protocol"));
    }
    // Descriptors that find no place in this process are cut off as well.
    if (packet.truncated && fault == core::MessageFault::none && type == protocol::type_welcome)
        fail(EMFILE, "the descriptors of its welcome did not fit; is this program out of descriptors (ulimit -n)?");
    if (fault != core::MessageFault::none || packet.truncated)
        fail(EPROTO, "the server sent " + (packet.truncated ? std::string("too much in one message")
                                                            : std::string(core::fault_text(fault))));
    if (type == protocol::type_error) {
        const auto error = core::message_as<protocol::Error>(bytes);
        const int number = error.error > 0 && error.error < 4096 ? error.error : EIO;
        const std::string text(core::text_of(error.text));
        throw ClientError(number, path_ + ": " + (text.empty() ? error_words(number) : text));
    }
    if (type == protocol::type_welcome)
        descriptors_ = std::move(packet.descriptors);
    received_type_ = type;
    return type;
}

void Connection::require_type(std::uint32_t type)
{
    if (received_type_ != type)
        fail(EPROTO, "the server sent message " + std::to_string(received_type_) + " where " + std::to_string(type) +
                         " was expected");
}

void Connection::fail(int error, const std::string& text)
{
    failed_ = true;
    throw ClientError(error, "ringmix server on " + path_ + ": " + text);
}

void Connection::fail_gone()
{
    const bool silent = failed_.exchange(true) && !server_gone();
    throw ServerGone(ENODEV, "the ringmix server on " + path_ +
                                 (silent ? " did not answer a request before; close the PCM and open it anew"
                                         : " has closed the connection; it has ended or died"));
}

bool Connection::server_gone() const noexcept { return !socket_ || os::peer_closed(socket_.get()); }

} // namespace ringmix::client
