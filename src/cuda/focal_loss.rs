//! Focal loss: the launches of cross-entropy, with other kernels.

use super::Source;
use super::cross_entropy::Loss;
use crate::cpu::focal_loss::FocalLoss;

static SOURCE: Source = Source::new("focal_loss", include_str!("../../kernels/focal_loss.cu"));

impl From<FocalLoss> for Loss {
    fn from(FocalLoss { gamma, ignored }: FocalLoss) -> Loss {
        Loss {
            source: &SOURCE,
            name: "focal_loss",
            backward: "focal_loss_backward",
            number: gamma,
            ignored,
        }
    }
}
