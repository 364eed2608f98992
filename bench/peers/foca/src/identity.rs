use std::net::SocketAddrV4;

use serde::{Deserialize, Serialize};

/// An address and a number that grows when others have declared it down, so that a node comes back by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Id {
    pub addr: SocketAddrV4,
    bump: u16,
}

impl Id {
    pub fn new(addr: SocketAddrV4) -> Self {
        Self { addr, bump: 0 }
    }
}

impl foca::Identity for Id {
    type Addr = SocketAddrV4;

    fn renew(&self) -> Option<Self> {
        Some(Self {
            addr: self.addr,
            bump: self.bump.wrapping_add(1),
        })
    }

    fn addr(&self) -> SocketAddrV4 {
        self.addr
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        self.bump > adversary.bump
    }
}
