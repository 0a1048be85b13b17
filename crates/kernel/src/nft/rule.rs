//! A rule as it is written: what it asks of a packet, in order, and what becomes of the packet then.
//!
//! Pure. The bytes are those that `nft` 1.0.6 sends for the same text (see the tests); `socket`, `ct`, `reject`, `tproxy`,
//! `fib`, `nat`, `counter`, `queue` and `target` are written here, because netlink-packet-netfilter does not know them (0.4.0).
//! Everything goes through register 1, except the second part of a key ([`NftRule::key`]).

use std::net::IpAddr;

use clearway_core::intercept::{IpNetwork, PortRange};
use clearway_core::names::Mark;
use netlink_packet_core::DefaultNla;
use netlink_packet_netfilter::nftables::{MetaKey, Operator, Register, Verdict};

use super::SetType;
use crate::interfaces::LOOPBACK;
use crate::netlink::Feature;
use crate::transparency::Family;
use expressions::{Header, number};

mod expressions;

pub(crate) use expressions::NftRule;

/// Protocols above IP.
pub(super) const TCP: u8 = 6;
pub(super) const ICMP: u8 = 1;
pub(super) const ICMPV6: u8 = 58;
/// `enum nft_socket_keys`.
const TRANSPARENT: u32 = 0;
const WILDCARD: u32 = 2;
/// `enum nft_ct_keys`.
const DIRECTION: u32 = 1;
const STATUS: u32 = 2;
const CT_MARK: u32 = 3;
/// `enum ip_conntrack_dir`: the way of a connection's first packet, and back.
const ORIGINAL: u8 = 0;
const REPLY: u8 = 1;
/// `IPS_DST_NAT`.
const REDIRECTED: u32 = 1 << 5;
/// FIN, SYN, RST, ACK in byte 13 of a TCP header, and SYN alone.
const FLAGS: u8 = 0x17;
const SYN: u8 = 0x02;
/// Bytes of an interface's name (`IFNAMSIZ`).
const NAME: usize = 16;
/// `NF_DROP`, `NF_ACCEPT`.
const DROP: u32 = 0;
pub(super) const ACCEPT: u32 = 1;

/// What it asks of a packet.
impl NftRule {
    /// `iif lo`.
    pub(super) fn iif_lo(self) -> Self {
        self.meta(MetaKey::Iif).equals(&LOOPBACK.to_ne_bytes())
    }

    /// `oif != lo`.
    pub(super) fn oif_not_lo(self) -> Self {
        self.meta(MetaKey::Oif).differs(&LOOPBACK.to_ne_bytes())
    }

    /// `iifname <name>`.
    pub(super) fn iifname(self, name: &str) -> Self {
        let mut padded = name.as_bytes().to_vec();
        padded.resize(NAME, 0);
        self.meta(MetaKey::Iifname).equals(&padded)
    }

    /// `meta l4proto <protocol>`.
    pub(super) fn protocol(self, protocol: u8) -> Self {
        self.meta(MetaKey::L4Proto).equals(&[protocol])
    }

    /// `meta l4proto tcp`.
    pub(crate) fn tcp(self) -> Self {
        self.protocol(TCP)
    }

    /// `tcp flags & (fin | syn | rst | ack) == syn`: a connection begins.
    pub(crate) fn opens(self) -> Self {
        self.tcp().payload(Header::Transport, 13, 1, Register::Reg1).masked(&[FLAGS], &[0]).equals(&[SYN])
    }

    /// `tcp dport <ports>`.
    pub(super) fn ports(self, ports: PortRange) -> Self {
        let (first, last) = (ports.first.to_be_bytes(), ports.last.to_be_bytes());
        let loaded = self.port(Register::Reg1);
        if first == last {
            return loaded.equals(&first);
        }
        loaded.compare(Operator::GreatherThanEqual, &first).compare(Operator::LessThanEqual, &last)
    }

    /// `ip daddr <network>`, with the family in front, as a table of family `inet` needs it.
    pub(super) fn destination(self, network: IpNetwork) -> Self {
        let octets = |address: IpAddr| match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        let family = Family::of(network.address());
        let (address, mask) = (octets(network.address()), octets(network.mask()));
        let of_family = self.family(family);
        match network.length() {
            0 => of_family,
            _ if mask.iter().all(|byte| *byte == u8::MAX) => of_family.address(family).equals(&address),
            _ => of_family.address(family).masked(&mask, &vec![0; mask.len()]).equals(&address),
        }
    }

    /// `fib daddr type local`: `NFTA_FIB_FLAGS`, `NFTA_FIB_RESULT`, `NFTA_FIB_DREG`.
    pub(crate) fn daddr_local(self) -> Self {
        /// `NFTA_FIB_F_DADDR`.
        const DESTINATION: u32 = 1 << 1;
        /// `NFT_FIB_RESULT_ADDRTYPE`.
        const TYPE: u32 = 3;
        /// `RTN_LOCAL`.
        const LOCAL: u32 = 2;
        self.other(Feature::Fib, "fib", &[(3, DESTINATION), (2, TYPE), (1, Register::Reg1.into())])
            .equals(&LOCAL.to_ne_bytes())
    }

    /// `socket transparent 1`.
    pub(super) fn transparent(self) -> Self {
        self.socket(Feature::Socket, TRANSPARENT)
    }

    /// `socket wildcard 1`.
    pub(super) fn wildcard(self) -> Self {
        self.socket(Feature::Wildcard, WILDCARD)
    }

    /// `socket <key> 1`: `NFTA_SOCKET_KEY`, `NFTA_SOCKET_DREG`.
    fn socket(self, needs: Feature, key: u32) -> Self {
        self.other(needs, "socket", &[(1, key), (2, Register::Reg1.into())]).equals(&[1])
    }

    /// `meta mark & <bit> == <bit>`.
    pub(super) fn marked(self, bit: Mark) -> Self {
        self.meta(MetaKey::Mark).has(bit)
    }

    /// `ct direction original`.
    pub(super) fn original(self) -> Self {
        self.ct(DIRECTION).equals(&[ORIGINAL])
    }

    /// `ct direction reply ct mark & <bit> == <bit>`.
    pub(super) fn reply_to_marked(self, bit: Mark) -> Self {
        self.ct(DIRECTION).equals(&[REPLY]).ct(CT_MARK).has(bit)
    }

    /// `ct status dnat`.
    pub(crate) fn redirected(self) -> Self {
        self.ct(STATUS).masked(&REDIRECTED.to_ne_bytes(), &[0; 4]).differs(&[0; 4])
    }

    /// `<key> @<set>`, for TCP of its family.
    pub(crate) fn within(self, kind: SetType, set: &str) -> Self {
        self.key(kind).look_up(set, None)
    }

    /// The key of a set or map in register 1 and those after it: each part of it fills whole registers of four bytes.
    fn key(self, kind: SetType) -> Self {
        let of_family = match kind.family() {
            Some(family) => self.family(family).tcp(),
            None => self.tcp(),
        };
        match kind {
            SetType::Ports | SetType::Ports4 | SetType::Ports6 => of_family.port(Register::Reg1),
            SetType::Addresses4 => of_family.address(Family::V4).port(Register::Reg32_01),
            SetType::Addresses6 => of_family.address(Family::V6).port(Register::Reg2),
        }
    }
}

/// What becomes of a packet.
impl NftRule {
    /// `accept`.
    pub(super) fn accept(self) -> Self {
        self.verdict(Verdict::Other(ACCEPT), None)
    }

    /// `drop`.
    pub(crate) fn drop(self) -> Self {
        self.verdict(Verdict::Other(DROP), None)
    }

    /// `return`.
    pub(crate) fn leave(self) -> Self {
        self.verdict(Verdict::Return, None)
    }

    /// `jump <chain>`: it comes back.
    pub(super) fn jump(self, chain: &str) -> Self {
        self.verdict(Verdict::Jump, Some(chain))
    }

    /// `goto <chain>`: it does not.
    pub(crate) fn goto(self, chain: &str) -> Self {
        self.verdict(Verdict::Goto, Some(chain))
    }

    /// `meta mark set meta mark | <bit>`.
    pub(super) fn mark(self, bit: Mark) -> Self {
        self.meta(MetaKey::Mark).with(bit).store_meta(MetaKey::Mark)
    }

    /// `ct mark set ct mark | <bit>`: `NFTA_CT_KEY`, `NFTA_CT_SREG`.
    pub(super) fn mark_connection(self, bit: Mark) -> Self {
        self.ct(CT_MARK).with(bit).other(
            Feature::Conntrack,
            "ct",
            &[(2, CT_MARK), (4, Register::Reg1.into())],
        )
    }

    /// `reject with tcp reset`: `NFTA_REJECT_TYPE`. The reset comes from the address that was called, although that need
    /// not be this host's: the kernel's own resets cannot.
    pub(crate) fn reset(self) -> Self {
        /// `NFT_REJECT_TCP_RST`.
        const TCP_RESET: u32 = 1;
        self.other(Feature::Reject, "reject", &[(1, TCP_RESET)])
    }

    /// `tproxy to :<port>`: `NFTA_TPROXY_FAMILY`, `NFTA_TPROXY_REG_PORT`. Without an address the listener is looked for at
    /// the interface's own. `family`: the one that the rule is about, or none (`NFPROTO_UNSPEC`).
    pub(super) fn tproxy(self, family: Option<Family>, port: u16) -> Self {
        let attributes = [(1, family.map_or(0, number).into()), (3, Register::Reg1.into())];
        self.constant(&port.to_be_bytes()).other(Feature::Tproxy, "tproxy", &attributes)
    }

    /// `dnat to :<key> map @<map>`, for TCP of its family: `NFTA_NAT_TYPE` (`NFT_NAT_DNAT`), `_FAMILY`, `_REG_PROTO_MIN`.
    pub(crate) fn redirect(self, kind: SetType, map: &str) -> Self {
        let family = kind.family().map_or(0, number);
        let attributes = [(1, 1), (2, family.into()), (5, Register::Reg1.into())];
        self.key(kind).look_up(map, Some(Register::Reg1)).other(Feature::Nat, "nat", &attributes)
    }

    /// `counter`, from 0: the packets that come so far, without an attribute.
    pub(crate) fn counter(self) -> Self {
        self.foreign(Feature::Counter, "counter", Vec::new())
    }

    /// `queue flags bypass to <number>`: `NFTA_QUEUE_NUM`, `_TOTAL`, `_FLAGS` (`NFT_QUEUE_FLAG_BYPASS`).
    pub(crate) fn queue(self, number: u16) -> Self {
        let short = |kind, value: u16| DefaultNla::new(kind, value.to_be_bytes().to_vec());
        self.foreign(Feature::Queue, "queue", vec![short(1, number), short(2, 1), short(3, 1)])
    }

    /// `-j NFQUEUE --queue-bypass --queue-num <number>` of iptables: `NFTA_TARGET_NAME`, `_REV`, `_INFO`.
    pub(crate) fn xt_queue(self, number: u16) -> Self {
        /// `struct xt_NFQ_info_v3`: number, how many, `NFQ_FLAG_BYPASS`, each of two bytes, padded to eight.
        const REVISION: u32 = 3;
        let info = [number, 1, 1, 0].into_iter().flat_map(u16::to_ne_bytes).collect();
        let attributes = vec![
            DefaultNla::new(1, b"NFQUEUE\0".to_vec()),
            DefaultNla::new(2, REVISION.to_be_bytes().to_vec()),
            DefaultNla::new(3, info),
        ];
        self.foreign(Feature::Queue, "target", attributes)
    }
}
