//! Lines that the machine and its network are to blame for.

use super::{CERTIFICATE, Cause, NETWORK, OPENSSL, PRISMA, cause, error};

/// Rooms, memory, network: the machine's part.
pub(super) static OF_THE_MACHINE: &[Cause] = &[
    cause("disk-full", &["ENOSPC"], "the disk is full: free some space and build again"),
    cause(
        "disk-full",
        &["No space left on device"],
        "the disk is full: free some space and build again",
    ),
    cause(
        "out-of-memory",
        &["JavaScript heap out of memory"],
        "give Node.js more memory: set NODE_OPTIONS=--max-old-space-size=4096",
    ),
    cause(
        "out-of-memory",
        &["Cannot allocate memory"],
        "the machine has too little memory for this build: free some, or add swap",
    ),
    cause(
        "out-of-memory",
        &["ENOMEM"],
        "the machine has too little memory for this build: free some, or add swap",
    ),
    error(
        "killed",
        &["signal SIGKILL"],
        "something ended a command by force; on a full machine that is the kernel, for want of memory",
    ),
    error(
        "killed",
        &["signal: 9"],
        "something ended a command by force; on a full machine that is the kernel, for want of memory",
    ),
    error(
        "killed",
        &["Killed"],
        "something ended a command by force; on a full machine that is the kernel, for want of memory",
    ),
    cause("openssl-legacy", &["digital envelope routines", "unsupported"], OPENSSL),
    cause("openssl-legacy", &["ERR_OSSL_EVP_UNSUPPORTED"], OPENSSL),
    cause("certificate", &["SELF_SIGNED_CERT_IN_CHAIN"], CERTIFICATE),
    cause("certificate", &["UNABLE_TO_GET_ISSUER_CERT"], CERTIFICATE),
    cause("certificate", &["UNABLE_TO_VERIFY_LEAF_SIGNATURE"], CERTIFICATE),
    cause("certificate", &["CERTIFICATE_VERIFY_FAILED"], CERTIFICATE),
    cause("certificate", &["certificate verify failed"], CERTIFICATE),
    cause("certificate", &["self-signed certificate"], CERTIFICATE),
    cause("certificate", &["unable to get local issuer certificate"], CERTIFICATE),
    cause("certificate", &["certificate signed by unknown authority"], CERTIFICATE),
    cause("prisma-engines", &["Failed to fetch", "binaries.prisma.sh"], PRISMA),
    cause("prisma-engines", &["binaries.prisma.sh"], PRISMA),
    cause("prisma-engines", &["Error: Failed to fetch the engine file"], PRISMA),
    cause(
        "database-unreachable",
        &["P1001"],
        "the database of DATABASE_URL does not answer: is it declared in this Blueprint, and up?",
    ),
    cause(
        "database-login",
        &["P1000"],
        "the database refused the user and password of DATABASE_URL",
    ),
    cause(
        "database-unreachable",
        &["ECONNREFUSED", ":5432"],
        "the database does not answer at that address: take its URL with fromDatabase",
    ),
    cause(
        "database-unreachable",
        &["could not translate host name"],
        "the database's host name is unknown here: take it with fromDatabase",
    ),
    cause("host-not-found", &["ENOTFOUND"], NETWORK),
    cause("host-not-found", &["EAI_AGAIN"], NETWORK),
    cause("host-not-found", &["Could not resolve host"], NETWORK),
    cause("host-not-found", &["Temporary failure in name resolution"], NETWORK),
    cause("host-not-found", &["Name or service not known"], NETWORK),
    cause("host-not-found", &["dial tcp: lookup"], NETWORK),
    cause("network-unreachable", &["ENETUNREACH"], NETWORK),
    cause("network-unreachable", &["Network is unreachable"], NETWORK),
    cause("network-unreachable", &["ETIMEDOUT"], NETWORK),
    cause("network-unreachable", &["ECONNRESET"], NETWORK),
    cause("network-unreachable", &["i/o timeout"], NETWORK),
    cause("network-unreachable", &["Connection timed out"], NETWORK),
    cause(
        "network-refused",
        &["403 Forbidden"],
        "a server refused the download: a private package, or a network that does not let it through",
    ),
    cause(
        "network-refused",
        &["npm", "E403"],
        "a server refused the download: a private package, or a network that does not let it through",
    ),
    cause(
        "registry-login",
        &["npm", "E401"],
        "the registry wants a login: give the token that .npmrc names, such as NPM_TOKEN",
    ),
    cause(
        "address-in-use",
        &["EADDRINUSE"],
        "a build must not listen on a port that it uses twice",
    ),
];
