//! Published sets that are too large for memory, or for most: samples are decoded when they are
//! asked for.
//!
//! [`root`] finds a set's folders or archives, [`store`] knows where in them each file lies, made
//! once; [`pictures`] decodes one. A set is a file here, which says what class a file is of.
//!
//! What is held in memory is the name and place of each file, some 130 bytes. A sample is decoded
//! anew each time: give its loader workers ([`Loader::with_workers`](super::Loader::with_workers)).

pub(super) mod caltech256;
pub(super) mod cityscapes;
pub(super) mod imagenet64;
pub(super) mod inaturalist;
pub(crate) mod npz;
pub(crate) mod pickle;
mod pictures;
pub(crate) mod places365;
pub(super) mod root;
pub(crate) mod store;
pub(crate) mod tiny_imagenet;
