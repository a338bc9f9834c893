//! Focal loss: the launches of cross-entropy, with other kernels.

use super::cross_entropy::Loss;
use crate::cpu::focal_loss::FocalLoss;

impl From<FocalLoss> for Loss {
    fn from(FocalLoss { gamma, ignored }: FocalLoss) -> Loss {
        Loss {
            name: "focal_loss",
            backward: "focal_loss_backward",
            number: gamma,
            ignored,
        }
    }
}
