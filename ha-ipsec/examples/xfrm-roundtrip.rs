//! Replaces each SA and policy of this network namespace by a copy, and compares what the kernel shows.
//!
//! ```text
//! cargo build -p ha-ipsec --features linux --example xfrm-roundtrip
//! ip netns exec lab target/debug/examples/xfrm-roundtrip 192.0.2.1 2001:db8::1
//! ```
//! The arguments are the gateway's own addresses, which tell inbound from outbound. It needs root and
//! a network namespace whose SAs may be interrupted for a moment: never run it on a gateway. Each SA
//! is copied three times: as the kernel showed it; by way of its record; and its numbers are moved by
//! NEWAE. `--many N` instead adds N SAs of its own, moves their numbers, and says how long that took.

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    linux::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
mod linux {
    use std::error::Error;
    use std::net::IpAddr;
    use std::process::ExitCode;
    use std::time::Duration;

    use ha_ipsec::id::{Protocol, SaId};
    use ha_ipsec::linux::convert::{Export, SaHandle, copy, export, import};
    use ha_ipsec::linux::replay::{ReplayForm, ReplayState};
    use ha_ipsec::linux::socket::{Event, Group, XfrmEvents, XfrmSocket};
    use ha_ipsec::linux::xfrm::{
        Attributes, Flush, Message, Policy, PolicyId, PolicyRef, Sa, SadInfo, attr,
    };
    use ha_ipsec::record::{Direction, IpsecSa, Mode, SaKeys, Transform};

    type Result<T> = std::result::Result<T, Box<dyn Error>>;

    pub(super) fn main() -> ExitCode {
        let arguments: Vec<_> = std::env::args().skip(1).collect();
        let done = match arguments.as_slice() {
            [flag, count] if flag == "--many" => many(count),
            addresses => round_trip(addresses),
        };
        match done {
            Ok(0) => ExitCode::SUCCESS,
            Ok(differences) => {
                println!("{differences} differences");
                ExitCode::FAILURE
            }
            Err(error) => {
                println!("{error}");
                ExitCode::FAILURE
            }
        }
    }

    fn round_trip(addresses: &[String]) -> Result<usize> {
        let local: std::result::Result<Vec<IpAddr>, _> =
            addresses.iter().map(|text| text.parse()).collect();
        let mut lab = Lab {
            socket: XfrmSocket::open()?,
            events: XfrmEvents::open(&[Group::Sa, Group::Policy, Group::AsyncEvents], 4 << 20)?,
            local: local?,
            differences: 0,
        };
        let info = lab.socket.get(Message::GetSadInfo(SadInfo::default()))?;
        if let Message::NewSadInfo(info) = info {
            println!("{:?} SAs, kernel's own included", info.count());
        }
        let policies = lab.policies()?;
        for sa in lab.sas()? {
            let handle = SaHandle::of(&sa);
            let name = format!("proto {} spi {:#x}", sa.info.id.proto, sa.info.id.spi);
            if let Err(error) = lab.all(&name, &handle, &sa, &policies) {
                println!("ERROR {name}: {error}");
                lab.differences += 1;
            }
        }
        for policy in policies {
            lab.policy(&policy)?;
        }
        println!("{} events", lab.drain()?);
        Ok(lab.differences)
    }

    struct Lab {
        socket: XfrmSocket,
        events: XfrmEvents,
        local: Vec<IpAddr>,
        differences: usize,
    }

    impl Lab {
        fn sas(&mut self) -> Result<Vec<Sa>> {
            let all = self.socket.dump(&Message::dump_ipsec())?;
            let sas = all.into_iter().filter_map(|message| match message {
                Message::NewSa(sa) => Some(sa),
                _ => None,
            });
            Ok(sas.collect())
        }

        fn policies(&mut self) -> Result<Vec<Policy>> {
            let all = self.socket.dump(&Message::DumpPolicy(Attributes::new()))?;
            let policies = all.into_iter().filter_map(|message| match message {
                Message::NewPolicy(policy) => Some(policy),
                _ => None,
            });
            Ok(policies.collect())
        }

        fn get(&mut self, handle: &SaHandle) -> Result<Sa> {
            match self.socket.get(handle.get())? {
                Message::NewSa(sa) => Ok(sa),
                other => Err(format!("GETSA was answered by {other:?}").into()),
            }
        }

        fn replace(&mut self, handle: &SaHandle, sa: Sa) -> Result<()> {
            self.socket.execute(handle.delete())?;
            self.socket.execute(Message::NewSa(sa))?;
            Ok(())
        }

        fn check<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, was: &T, is: &T) {
            if was == is {
                println!("same  {what}");
            } else {
                println!("OTHER {what}\n  was {was:?}\n  is  {is:?}");
                self.differences += 1;
            }
        }

        fn all(
            &mut self,
            name: &str,
            handle: &SaHandle,
            sa: &Sa,
            policies: &[Policy],
        ) -> Result<()> {
            let attributes = &sa.attributes;
            if attributes.aead().is_none()
                && attributes.alg_crypt().is_none()
                && attributes.auth_trunc().is_none()
                && attributes.alg_comp().is_none()
            {
                println!("none  {name}: its negotiation is under way");
                return Ok(());
            }
            self.as_shown(name, handle, sa)?;
            self.by_record(name, handle, policies)?;
            self.numbers(name, handle)
        }

        fn as_shown(&mut self, name: &str, handle: &SaHandle, sa: &Sa) -> Result<()> {
            let shown = self.get(handle)?;
            self.check(&format!("{name}: dump and GETSA"), sa, &shown);
            self.replace(handle, copy(&shown))?;
            let is = self.get(handle)?;
            self.check(&format!("{name}: copy"), &lasting(&shown), &lasting(&is));
            Ok(())
        }

        fn by_record(&mut self, name: &str, handle: &SaHandle, policies: &[Policy]) -> Result<()> {
            let shown = self.get(handle)?;
            let was = match import(&shown, self.local.as_slice(), policies) {
                Ok(was) => was,
                Err(error) => {
                    println!("none  {name}: no record: {error}");
                    return Ok(());
                }
            };
            for left_out in &was.left_out {
                println!("      {name}: the record leaves out {left_out}");
            }
            let mut options = Export::default();
            options.replay = Some(was.replay.clone());
            options.usage = Some(was.usage);
            options.selector = was.own_selector;
            self.replace(handle, export(&was.sa, &options, self.local.as_slice())?)?;
            let is = self.get(handle)?;
            self.check(
                &format!("{name}: by record"),
                &lasting(&shown),
                &lasting(&is),
            );
            let again = import(&is, self.local.as_slice(), policies)?;
            self.check(&format!("{name}: record"), &was, &again);
            let by_record = SaHandle::of_record(&was.sa, &options);
            self.check(&format!("{name}: handle"), handle, &by_record);
            Ok(())
        }

        fn numbers(&mut self, name: &str, handle: &SaHandle) -> Result<()> {
            let shown = self.get(handle)?;
            let Some(before) = ReplayState::of(&shown) else {
                return Ok(());
            };
            let wanted = moved(&before, handle.form);
            assert!(wanted.is_ahead_of(&before));
            self.socket
                .execute(handle.set_numbers(&wanted, Some(shown.info.curlft))?)?;
            let Message::NewAsyncEvent(answer) = self.socket.get(handle.get_numbers())? else {
                return Err("GETAE was not answered by NEWAE".into());
            };
            let is = ReplayState::from_attributes(&answer.attributes, handle.form);
            self.check(&format!("{name}: numbers"), &Some(wanted.clone()), &is);
            let usage = answer.attributes.lifetime_current().copied();
            self.check(&format!("{name}: usage"), &Some(shown.info.curlft), &usage);
            let shown = ReplayState::of(&self.get(handle)?);
            self.check(&format!("{name}: numbers in GETSA"), &Some(wanted), &shown);
            Ok(())
        }

        fn policy(&mut self, policy: &Policy) -> Result<()> {
            let name = format!("policy {}", policy.info.index);
            let mut reference = PolicyRef::new(PolicyId {
                sel: policy.info.sel,
                index: 0,
                dir: policy.info.dir,
            });
            let attributes = policy.attributes.iter();
            let names = [attr::MARK, attr::IF_ID, attr::POLICY_TYPE, attr::SEC_CTX];
            let naming = attributes.filter(|it| names.contains(&it.kind()));
            reference.attributes = naming.cloned().collect();
            let get = Message::GetPolicy(reference.clone());
            let shown = self.socket.get(get.clone())?;
            self.check(
                &format!("{name}: dump and GETPOLICY"),
                &Message::NewPolicy(policy.clone()),
                &shown,
            );
            self.socket.execute(Message::DeletePolicy(reference))?;
            self.socket.execute(Message::NewPolicy(policy.clone()))?;
            let is = self.socket.get(get)?;
            self.check(
                &format!("{name}: copy"),
                &lasting_policy(shown),
                &lasting_policy(is),
            );
            Ok(())
        }

        fn drain(&mut self) -> Result<usize> {
            let mut count = 0;
            while let Some(event) = self.events.next_event()? {
                count += 1;
                if event == Event::Lost {
                    println!("events were lost");
                }
            }
            Ok(count)
        }
    }

    /// Without what packets and time change.
    fn lasting(sa: &Sa) -> Sa {
        let mut sa = sa.clone();
        sa.attributes.remove(attr::LASTUSED);
        sa.info.stats = Default::default();
        // The kernel's order depends on nothing, but a record's is its own.
        let mut all: Vec<_> = sa.attributes.iter().cloned().collect();
        all.sort_by_key(|attribute| attribute.kind());
        sa.attributes = all.into_iter().collect();
        sa
    }

    fn lasting_policy(message: Message) -> Message {
        let Message::NewPolicy(mut policy) = message else {
            return message;
        };
        policy.info.curlft = Default::default();
        policy.info.index &= 7;
        Message::NewPolicy(policy)
    }

    /// Ahead in all, with every third number of the window missing.
    fn moved(before: &ReplayState, form: ReplayForm) -> ReplayState {
        let extended = matches!(form, ReplayForm::Esn { extended: true, .. });
        let far = if extended { 3 << 32 } else { 70_000 };
        let mut state = ReplayState {
            outbound: before.outbound + 1000,
            inbound: before.inbound + far + 5,
            seen: vec![0; form.window().div_ceil(64) as usize],
            window: form.window(),
        };
        for back in (0..form.window()).filter(|back| back % 3 != 1) {
            state.seen[back as usize / 64] |= 1 << (back % 64);
        }
        state
    }

    #[expect(clippy::disallowed_methods, reason = "measures")]
    fn many(count: &str) -> Result<usize> {
        let count: u32 = count.parse()?;
        let mut socket = XfrmSocket::open()?;
        let (gateway, peer) = ("192.0.2.1".parse()?, "198.51.100.7".parse()?);
        let sas: Vec<_> = (0..count)
            .map(|n| own(0x1_0000 + n, gateway, peer))
            .collect();
        let machine = [gateway];
        let options = Export::default();
        let clock = std::time::Instant::now();
        let messages: std::result::Result<Vec<_>, _> = sas
            .iter()
            .map(|sa| export(sa, &options, machine.as_slice()).map(Message::NewSa))
            .collect();
        report("NEWSA", socket.execute_all(messages?)?, clock.elapsed());
        let state = ReplayState {
            outbound: 1 << 24,
            ..ReplayState::default()
        };
        let clock = std::time::Instant::now();
        let messages: std::result::Result<Vec<_>, _> = sas
            .iter()
            .map(|sa| SaHandle::of_record(sa, &options).set_numbers(&state, None))
            .collect();
        report("NEWAE", socket.execute_all(messages?)?, clock.elapsed());
        let clock = std::time::Instant::now();
        let shown = socket.dump(&Message::dump_ipsec())?.len();
        println!("dump of {shown}: {:?}", clock.elapsed());
        let clock = std::time::Instant::now();
        socket.execute(Message::FlushSa(Flush::new(Protocol::Esp.number())))?;
        println!("FLUSHSA: {:?}", clock.elapsed());
        Ok(0)
    }

    fn own(spi: u32, gateway: IpAddr, peer: IpAddr) -> IpsecSa {
        let id = SaId {
            spi,
            destination: peer,
            protocol: Protocol::Esp,
        };
        let mut sa = IpsecSa::new(id, Direction::Outbound, gateway, Mode::Tunnel);
        sa.encryption = Some(Transform::AES_GCM_128);
        sa.keys = SaKeys::new(&[7; 20], &[]);
        sa
    }

    fn report<E: std::fmt::Display>(
        what: &str,
        results: Vec<std::result::Result<(), E>>,
        took: Duration,
    ) {
        let each = took / results.len().max(1) as u32;
        println!("{what} × {}: {took:?}, {each:?} each", results.len());
        if let Some(error) = results.into_iter().find_map(std::result::Result::err) {
            println!("  {error}");
        }
    }
}
