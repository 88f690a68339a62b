//! Real nodes, on loopback and behind the kernel NATs of the lab. One program: to link each of these by itself would take
//! minutes, and they mostly wait, so that many can run at once.

mod afar;
mod attached;
mod book;
mod commands;
mod control;
mod discovery;
mod failover;
mod families;
mod files;
mod first_datagrams;
mod forgotten;
mod gallery;
mod groups;
mod hard;
mod kept;
mod lab;
mod lan;
mod limits;
mod loopback;
mod nat;
mod operator;
mod pair;
mod pairs;
mod readme;
mod relays;
mod share;
mod situations;
mod strangers;
mod subnet;
mod swarm;
mod tcp;
mod tcp443;
mod terminal;
mod times;
mod walk;
