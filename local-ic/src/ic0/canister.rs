//! What a canister can learn about itself, and what it lets the system certify.

use super::{Certificate, Host, Sys, Trap, copy_out, size_of};
use candid::Principal;

/// The most bytes a canister can have certified.
const MAX_CERTIFIED_DATA: u32 = 32;

/// This replica is the only node.
const NODES: u32 = 1;

fn self_id(host: &Host) -> Result<&[u8], Trap> {
    Ok(host.input.facts.canister.as_slice())
}

fn subnet(host: &Host) -> Result<&[u8], Trap> {
    Ok(host.input.facts.subnet.as_slice())
}

fn root_key(host: &Host) -> Result<&[u8], Trap> {
    Ok(&host.input.facts.root_key)
}

fn certificate(host: &Host) -> Result<&[u8], Trap> {
    match &host.input.certificate {
        Certificate::Present(bytes) => Ok(bytes),
        Certificate::OnDemand => Err(Trap::CertificateNeeded),
        Certificate::Absent => Err(Trap::contract("there is no data certificate")),
    }
}

impl Sys<'_> {
    pub(super) fn canister_self_size(&mut self) -> Result<u32, Trap> {
        self_id(self.host).map(size_of)
    }

    pub(super) fn canister_self_copy(
        &mut self,
        dst: u32,
        offset: u32,
        size: u32,
    ) -> Result<(), Trap> {
        self.copy(self_id, dst, offset, size)
    }

    pub(super) fn canister_status(&mut self) -> Result<u32, Trap> {
        Ok(self.host.input.status)
    }

    pub(super) fn canister_version(&mut self) -> Result<u64, Trap> {
        Ok(self.host.input.version)
    }

    pub(super) fn subnet_self_size(&mut self) -> Result<u32, Trap> {
        subnet(self.host).map(size_of)
    }

    pub(super) fn subnet_self_copy(
        &mut self,
        dst: u32,
        offset: u32,
        size: u32,
    ) -> Result<(), Trap> {
        self.copy(subnet, dst, offset, size)
    }

    pub(super) fn subnet_self_node_count(&mut self) -> Result<u32, Trap> {
        Ok(NODES)
    }

    pub(super) fn is_controller(&mut self, src: u32, size: u32) -> Result<u32, Trap> {
        let id = Principal::try_from_slice(self.read(src.into(), size.into())?)
            .map_err(|error| Trap::Contract(format!("is_controller: no principal: {error}")))?;
        Ok(self.host.input.facts.controllers.contains(&id).into())
    }

    pub(super) fn in_replicated_execution(&mut self) -> Result<u32, Trap> {
        Ok(self.host.input.context.is_replicated().into())
    }

    pub(super) fn certified_data_set(&mut self, src: u32, size: u32) -> Result<(), Trap> {
        if size > MAX_CERTIFIED_DATA {
            return Err(Trap::Contract(format!(
                "certified_data_set: {size} bytes, at most {MAX_CERTIFIED_DATA} can be certified"
            )));
        }
        let data = self.read(src.into(), size.into())?.to_vec();
        self.host.effects.certified_data = Some(data);
        Ok(())
    }

    pub(super) fn data_certificate_present(&mut self) -> Result<u32, Trap> {
        Ok((!matches!(self.host.input.certificate, Certificate::Absent)).into())
    }

    pub(super) fn data_certificate_size(&mut self) -> Result<u32, Trap> {
        certificate(self.host).map(size_of)
    }

    pub(super) fn data_certificate_copy(
        &mut self,
        dst: u32,
        offset: u32,
        size: u32,
    ) -> Result<(), Trap> {
        self.copy(certificate, dst, offset, size)
    }

    pub(super) fn root_key_size(&mut self) -> Result<u32, Trap> {
        root_key(self.host).map(size_of)
    }

    pub(super) fn root_key_copy(&mut self, dst: u32, offset: u32, size: u32) -> Result<(), Trap> {
        self.copy(root_key, dst, offset, size)
    }

    pub(super) fn env_var_count(&mut self) -> Result<u32, Trap> {
        Ok(self.host.input.facts.environment.len() as u32)
    }

    pub(super) fn env_var_name_size(&mut self, index: u32) -> Result<u32, Trap> {
        variable_name(self.host, index).map(size_of)
    }

    pub(super) fn env_var_name_copy(
        &mut self,
        index: u32,
        dst: u32,
        offset: u32,
        size: u32,
    ) -> Result<(), Trap> {
        let name = variable_name(self.host, index)?;
        self.moved += copy_out(self.heap, name, dst, offset, size)?;
        Ok(())
    }

    pub(super) fn env_var_name_exists(&mut self, src: u32, size: u32) -> Result<u32, Trap> {
        let name = self.read_text("env_var_name_exists", src, size)?;
        Ok(variable_value(self.host, &name).is_ok().into())
    }

    pub(super) fn env_var_value_size(&mut self, src: u32, size: u32) -> Result<u32, Trap> {
        let name = self.read_text("env_var_value_size", src, size)?;
        variable_value(self.host, &name).map(size_of)
    }

    pub(super) fn env_var_value_copy(
        &mut self,
        name_src: u32,
        name_size: u32,
        dst: u32,
        offset: u32,
        size: u32,
    ) -> Result<(), Trap> {
        let name = self.read_text("env_var_value_copy", name_src, name_size)?;
        let value = variable_value(self.host, &name)?;
        self.moved += copy_out(self.heap, value, dst, offset, size)?;
        Ok(())
    }
}

fn variable_name(host: &Host, index: u32) -> Result<&[u8], Trap> {
    let variables = &host.input.facts.environment;
    match variables.get(index as usize) {
        Some((name, _)) => Ok(name.as_bytes()),
        None => Err(Trap::Contract(format!(
            "environment variable {index} of {}",
            variables.len()
        ))),
    }
}

fn variable_value<'a>(host: &'a Host, name: &str) -> Result<&'a [u8], Trap> {
    let variables = &host.input.facts.environment;
    match variables.iter().find(|(known, _)| known == name) {
        Some((_, value)) => Ok(value.as_bytes()),
        None => Err(Trap::Contract(format!(
            "there is no environment variable `{name}`"
        ))),
    }
}
