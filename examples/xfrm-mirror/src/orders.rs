//! What an operator asks of the node. The daemon goes on meanwhile: the data plane follows the node.

use core::time::Duration;

use ha_core::id::GroupId;
use ha_core::scheme::Role;
use ha_transport::Node;
use ha_transport::runtime::{NodeError, View};

use crate::status::Order;

/// Carries out an order.
///
/// # Errors
/// Why it was refused, and what to do.
pub(crate) async fn carry_out(node: Node, group: GroupId, order: Order) -> Result<String, String> {
    let done = match order {
        Order::States => return text(node.show_redundancy_states(group).await),
        Order::History => return text(node.show_redundancy_history(group).await),
        Order::SetRole { active } => return set_role(&node, group, active).await,
        Order::Resync => node.resync(group, None).await.map(|()| "asked for"),
        Order::Maintenance { on } => {
            let done = node.set_maintenance(group, on).await;
            done.map(|()| {
                if on {
                    "in maintenance"
                } else {
                    "out of maintenance"
                }
            })
        }
    };
    done.map(str::to_owned).map_err(|error| error.to_string())
}

/// The scheme decides: it may have better reasons.
async fn set_role(node: &Node, group: GroupId, active: bool) -> Result<String, String> {
    let role = if active { Role::Active } else { Role::Standby };
    let told = node.set_role(group, role).await;
    told.map_err(|error| error.to_string())?;
    let is_so = |view: &View| {
        view.groups
            .get(&group)
            .is_some_and(|it| it.active == active)
    };
    match node.wait_for(ROLE_LIMIT, is_so).await {
        Ok(_) => Ok(format!("{role}")),
        Err(NodeError::TimedOut(_)) if active => Err(
            "refused: the other unit is active; hand over there with switchover, or cut it off first"
                .to_owned(),
        ),
        Err(NodeError::TimedOut(_)) => {
            Err("refused: there is no standby that would be active instead".to_owned())
        }
        Err(error) => Err(error.to_string()),
    }
}

fn text(shown: Result<String, NodeError>) -> Result<String, String> {
    shown.map_err(|error| error.to_string())
}

/// How long a scheme may take to follow.
const ROLE_LIMIT: Duration = Duration::from_secs(3);
