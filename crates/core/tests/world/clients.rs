//! Where new clients come to: sockets that listen, the kernel's order of those at one port, and who steers, seals and gates.
//! Imagined as `clearway_kernel::steering`, `gate` and `flip` have it.

use super::*;

/// Where a socket listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Port {
    /// Where clients call.
    Public,
    /// Where they may be redirected to.
    Private(u32),
}

/// A socket of clients.
#[derive(Clone, Copy, Debug)]
struct Listener {
    port: Port,
    sealed: bool,
}

/// The kernel's part of it.
#[derive(Debug, Default)]
pub struct Listeners {
    all: BTreeMap<Socket, Listener>,
    /// Those that listen, in the kernel's order.
    groups: BTreeMap<Port, Vec<Socket>>,
    /// To which places of a group new clients are steered.
    programs: BTreeMap<Port, Vec<usize>>,
    private_ports: u32,
}

impl Listeners {
    pub fn port(&self, socket: Socket) -> Option<Port> {
        self.all.get(&socket).map(|listener| listener.port)
    }

    pub fn a_private_port(&mut self) -> Port {
        self.private_ports += 1;
        Port::Private(self.private_ports)
    }

    pub fn begin(&mut self, socket: Socket, port: Port) {
        self.all.insert(socket, Listener { port, sealed: false });
        self.groups.entry(port).or_default().push(socket);
    }

    pub fn group(&self, port: Port) -> &[Socket] {
        self.groups.get(&port).map_or(&[], Vec::as_slice)
    }

    pub fn listens(&self, socket: Socket) -> bool {
        self.port(socket).is_some_and(|port| self.group(port).contains(&socket))
    }

    pub fn set_sealed(&mut self, socket: Socket, sealed: bool) {
        if let Some(listener) = self.all.get_mut(&socket) {
            listener.sealed = sealed;
        }
    }

    /// The last one takes the place of one that goes.
    pub fn stop_listening(&mut self, socket: Socket) {
        let Some(group) = self.port(socket).and_then(|port| self.groups.get_mut(&port)) else { return };
        if let Some(place) = group.iter().position(|one| *one == socket) {
            group.swap_remove(place);
        }
    }

    pub fn listen_again(&mut self, socket: Socket) {
        self.set_sealed(socket, false);
        if let Some(port) = self.port(socket).filter(|_| !self.listens(socket)) {
            self.groups.entry(port).or_default().push(socket);
        }
    }

    /// New clients go to these sockets of a port.
    pub fn steer(&mut self, port: Port, to: &[Socket]) {
        let places = self.group(port).iter().enumerate();
        let places = places.filter(|(_, socket)| to.contains(socket)).map(|(place, _)| place).collect();
        self.programs.insert(port, places);
    }

    pub fn release(&mut self, port: Port) {
        self.programs.remove(&port);
    }

    pub fn those_that_listen(&self) -> Vec<Socket> {
        self.groups.values().flatten().copied().collect()
    }

    /// Where a new client of a port may come to. A place beyond the end leaves it to the kernel.
    fn choices(&self, port: Port) -> Vec<Socket> {
        let group = self.group(port);
        let all = || group.to_vec();
        let Some(program) = self.programs.get(&port).filter(|program| !program.is_empty()) else {
            return all();
        };
        program.iter().flat_map(|place| group.get(*place).map_or_else(all, |one| vec![*one])).collect()
    }
}

impl World {
    /// What no process has any more does not listen, and a program goes with the last socket of its group.
    pub fn close_what_nothing_has(&mut self) {
        for socket in self.listeners.those_that_listen() {
            if !self.is_open(socket) {
                self.listeners.stop_listening(socket);
            }
        }
        let Listeners { groups, programs, .. } = &mut self.listeners;
        programs.retain(|port, _| groups.get(port).is_some_and(|group| !group.is_empty()));
    }

    /// The port to which a new client is sent: the newest table comes first.
    fn destination(&self) -> Port {
        let tables = self.living.iter().filter_map(|id| self.balancers[*id].cutover.table.as_ref());
        let newest = tables.filter(|table| table.way.is_some()).max_by_key(|table| table.made);
        newest.and_then(|table| table.way).unwrap_or(Port::Public)
    }

    /// Whether new clients of a port are stopped.
    fn is_gated(&self, port: Port) -> bool {
        let switches = self.living.iter().flat_map(|id| self.balancers[*id].cutover.switches.values());
        switches.into_iter().any(|switch| switch.gate == Some(port))
    }

    /// Nothing that served is asked to: a new client is accepted, or waits where it will be.
    pub fn check_clients(&self) -> Result<(), String> {
        let (used, kept) = (self.used_by_processes(), self.kept_for_the_next());
        let port = self.destination();
        if !self.is_served() && kept.is_empty() || self.is_gated(port) {
            return Ok(());
        }
        let choices = self.listeners.choices(port);
        if choices.is_empty() {
            return Err(format!(
                "clients are refused at {port:?}: {used:?} are used, {kept:?} kept, {:?}",
                self.listeners
            ));
        }
        let is_well = |socket: &&Socket| {
            let is_sealed = self.listeners.all.get(socket).is_some_and(|listener| listener.sealed);
            is_sealed || used.contains(socket) || kept.contains(socket) || self.is_excused(**socket)
        };
        match choices.iter().find(|socket| !is_well(socket)) {
            Some(socket) => Err(format!(
                "a client comes to socket {socket} of {:?} at {port:?}, where nothing accepts: {used:?} are used, {kept:?} kept, {:?}",
                self.those_that_have(*socket),
                self.listeners
            )),
            None => Ok(()),
        }
    }

    fn running(&self) -> impl Iterator<Item = Id> {
        self.living.iter().copied().filter(|id| self.balancers[*id].is_running())
    }

    /// Those that are to serve: not one that has lost its name, which goes on beside the one that has it.
    fn those_to_serve(&self) -> impl Iterator<Item = &Balancer> {
        let wanted = self.running().filter(|id| !self.has_lost_its_name(*id));
        wanted.map(|id| &self.balancers[id]).filter(|one| !one.released)
    }

    /// Whether one accepts that is to.
    fn is_served(&self) -> bool {
        self.those_to_serve().any(|one| {
            let serving = one.supervisor.serving().and_then(|generation| one.processes.get(&generation));
            serving.is_some_and(|process| process.accepts())
        })
    }

    /// One that begins, or starts again, will accept from it.
    fn is_given(&self, socket: Socket) -> bool {
        let starts =
            |one: &Balancer| !one.cutover.is_superseded && !one.released && one.custody.contains(&socket);
        let is_on_its_way = |message: &Message| match message {
            Message::Welcome { sockets, .. } => sockets.contains(&socket),
            _ => false,
        };
        self.living.iter().any(|id| starts(&self.balancers[*id]))
            || self.talking.iter().any(|wire| self.wires[*wire].queues.iter().flatten().any(is_on_its_way))
    }

    /// Two cases are left: the moment until a holder has heard what it need not keep any more, and a HAProxy that has begun
    /// to serve after its Clearway had given a successor nothing, which has made sockets of its own.
    fn is_excused(&self, socket: Socket) -> bool {
        let has_made = |one: &Balancer| {
            one.cutover.is_superseded && one.cutover.given.is_empty() && one.custody.contains(&socket)
        };
        self.running().any(|id| has_made(&self.balancers[id]))
            || self.is_about_to_close(socket)
            || self.is_given(socket)
    }

    /// To all that have it a word is on its way, after which they do not: that its successor does well, what a holder is to
    /// keep now.
    fn is_about_to_close(&self, socket: Socket) -> bool {
        let is_told = |party: Party| {
            let hears = |wire: &Wire| {
                let Conversation { ends, queues, .. } = &self.wires[*wire];
                (0..2).any(|side| ends[side] == Some(party) && !queues[side].is_empty())
            };
            self.talking.iter().any(hears)
        };
        let has = |id: &&Id| {
            let Balancer { custody, cutover, .. } = &self.balancers[**id];
            custody.contains(&socket) || cutover.keeps().any(|kept| *kept == socket)
        };
        let closes = |id: &Id| self.balancers[*id].cutover.is_superseded && is_told(Party::Balancer(*id));
        let having: Vec<Id> = self.living.iter().filter(has).copied().collect();
        let mut holders = (0..self.holders.len()).filter(|id| self.holders[*id].keeps(socket));
        // What a holder keeps of a dead one is led away from like sockets of other processes, which are not here.
        let lets_go = |id: Id| self.holders[id].keeping.owner().is_none() || is_told(Party::Holder(id));
        // It tells its holder when it has heard that itself.
        having.iter().all(closes) && (!having.is_empty() || holders.all(lets_go))
    }

    /// For people.
    fn those_that_have(&self, socket: Socket) -> Vec<String> {
        let has = |id: &&Id| {
            let Balancer { custody, cutover, .. } = &self.balancers[**id];
            custody.contains(&socket) || cutover.keeps().any(|kept| *kept == socket)
        };
        let balancers = self.living.iter().filter(has).map(|id| format!("balancer {id}"));
        let holders = (0..self.holders.len()).filter(|id| self.holders[*id].keeps(socket));
        balancers.chain(holders.map(|id| format!("holder {id} {:?}", self.holders[id].sent))).collect()
    }

    /// From which sockets a process accepts or is about to.
    fn used_by_processes(&self) -> BTreeSet<Socket> {
        let processes = self.running().flat_map(|id| self.balancers[id].processes.values());
        processes.filter(|process| !process.leaves).map(|process| process.socket).collect()
    }

    /// Where clients wait for the next HAProxy of one that has served.
    fn kept_for_the_next(&self) -> BTreeSet<Socket> {
        let waits =
            self.those_to_serve().filter(|one| one.cutover.has_committed && !one.cutover.is_superseded);
        waits.flat_map(|one| one.custody.iter().copied()).collect()
    }

    /// Nothing has happened for a long time, and this one serves.
    pub fn check_clients_at_rest(&self, id: Id) -> Result<(), String> {
        let one = &self.balancers[id];
        let switches: Vec<&Generation> =
            self.living.iter().flat_map(|id| self.balancers[*id].cutover.switches.keys()).collect();
        if !switches.is_empty() {
            return Err(format!("switches to {switches:?} are not over"));
        }
        let choices = self.listeners.choices(self.destination());
        if choices != one.custody {
            return Err(format!("balancer {id} serves {:?}, and clients come to {choices:?}", one.custody));
        }
        let sealed = choices.iter().filter(|socket| self.listeners.all[socket].sealed).count();
        if sealed > 0 {
            return Err(format!("{sealed} sockets hear no new client"));
        }
        Ok(())
    }
}
