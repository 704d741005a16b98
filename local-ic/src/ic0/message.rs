//! What came with the message, and the answer to it.

use super::{Host, Sys, Trap, size_of};
use crate::reject::{ErrorCode, Reject};

/// The most a reply or a reject text may have, in bytes.
const MAX_ANSWER: usize = 2 * 1024 * 1024;

fn arg(host: &Host) -> Result<&[u8], Trap> {
    Ok(&host.input.arg)
}

fn caller(host: &Host) -> Result<&[u8], Trap> {
    Ok(host.input.caller.as_slice())
}

/// Only callers with a signed `sender_info` would have it, and no known client sends one.
fn caller_info(_: &Host) -> Result<&[u8], Trap> {
    Ok(&[])
}

fn reject_message(host: &Host) -> Result<&[u8], Trap> {
    match &host.input.reject {
        Some((_, message)) => Ok(message.as_bytes()),
        None => Err(Trap::contract("there is no reject message")),
    }
}

fn method(host: &Host) -> Result<&[u8], Trap> {
    Ok(host.input.method.as_bytes())
}

impl Sys<'_> {
    pub(super) fn msg_arg_data_size(&mut self) -> Result<u32, Trap> {
        arg(self.host).map(size_of)
    }

    pub(super) fn msg_arg_data_copy(
        &mut self,
        dst: u32,
        offset: u32,
        size: u32,
    ) -> Result<(), Trap> {
        self.copy(arg, dst, offset, size)
    }

    pub(super) fn msg_caller_size(&mut self) -> Result<u32, Trap> {
        caller(self.host).map(size_of)
    }

    pub(super) fn msg_caller_copy(&mut self, dst: u32, offset: u32, size: u32) -> Result<(), Trap> {
        self.copy(caller, dst, offset, size)
    }

    pub(super) fn msg_caller_info_data_size(&mut self) -> Result<u32, Trap> {
        caller_info(self.host).map(size_of)
    }

    pub(super) fn msg_caller_info_data_copy(
        &mut self,
        dst: u32,
        offset: u32,
        size: u32,
    ) -> Result<(), Trap> {
        self.copy(caller_info, dst, offset, size)
    }

    pub(super) fn msg_caller_info_signer_size(&mut self) -> Result<u32, Trap> {
        caller_info(self.host).map(size_of)
    }

    pub(super) fn msg_caller_info_signer_copy(
        &mut self,
        dst: u32,
        offset: u32,
        size: u32,
    ) -> Result<(), Trap> {
        self.copy(caller_info, dst, offset, size)
    }

    pub(super) fn msg_reject_code(&mut self) -> Result<u32, Trap> {
        Ok(self
            .host
            .input
            .reject
            .as_ref()
            .map_or(0, |(code, _)| code.as_u32()))
    }

    pub(super) fn msg_reject_msg_size(&mut self) -> Result<u32, Trap> {
        reject_message(self.host).map(size_of)
    }

    pub(super) fn msg_reject_msg_copy(
        &mut self,
        dst: u32,
        offset: u32,
        size: u32,
    ) -> Result<(), Trap> {
        self.copy(reject_message, dst, offset, size)
    }

    pub(super) fn msg_deadline(&mut self) -> Result<u64, Trap> {
        Ok(self.host.input.deadline_ns)
    }

    pub(super) fn msg_reply_data_append(&mut self, src: u32, size: u32) -> Result<(), Trap> {
        self.check_unanswered("msg_reply_data_append")?;
        let total = self.host.effects.reply_data.len() + size as usize;
        check_answer_size("msg_reply_data_append", total)?;
        let data = self.read(src.into(), size.into())?.to_vec();
        self.host.effects.reply_data.extend_from_slice(&data);
        Ok(())
    }

    pub(super) fn msg_reply(&mut self) -> Result<(), Trap> {
        self.check_unanswered("msg_reply")?;
        let data = std::mem::take(&mut self.host.effects.reply_data);
        self.host.effects.answer = Some(Ok(data));
        Ok(())
    }

    pub(super) fn msg_reject(&mut self, src: u32, size: u32) -> Result<(), Trap> {
        self.check_unanswered("msg_reject")?;
        check_answer_size("msg_reject", size as usize)?;
        let message = self.read_text("msg_reject", src, size)?;
        self.host.effects.answer = Some(Err(Reject::new(
            ErrorCode::CanisterRejectedMessage,
            message,
        )));
        Ok(())
    }

    pub(super) fn msg_method_name_size(&mut self) -> Result<u32, Trap> {
        method(self.host).map(size_of)
    }

    pub(super) fn msg_method_name_copy(
        &mut self,
        dst: u32,
        offset: u32,
        size: u32,
    ) -> Result<(), Trap> {
        self.copy(method, dst, offset, size)
    }

    pub(super) fn accept_message(&mut self) -> Result<(), Trap> {
        if std::mem::replace(&mut self.host.effects.message_accepted, true) {
            return Err(Trap::contract(
                "accept_message: the function was already called",
            ));
        }
        Ok(())
    }

    fn check_unanswered(&self, function: &str) -> Result<(), Trap> {
        if self.host.is_answered() {
            return Err(Trap::Contract(format!(
                "{function}: the call is already replied to"
            )));
        }
        Ok(())
    }
}

fn check_answer_size(function: &str, size: usize) -> Result<(), Trap> {
    if size > MAX_ANSWER {
        return Err(Trap::Contract(format!(
            "{function}: application payload size ({size}) cannot be larger than {MAX_ANSWER}"
        )));
    }
    Ok(())
}
