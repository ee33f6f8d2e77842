//! Rules of others in the way of containers, and the cure that is told.

use super::rules::{ANY, asking, mapping, neighbour, nft, run, start_server};
use super::*;

/// Rules of others: a script in a host of its own, and what is told of them.
const FIREWALLS: [(&str, &[&str]); 12] = [
    (
        // ufw, Docker before 28 and others without their chains.
        "iptables-nft -P FORWARD DROP",
        &[
            "the chain FORWARD of the firewall's table ip filter drops what containers send and are \
           sent; to let it through: iptables -I FORWARD -i coracle0 -j ACCEPT; iptables -I FORWARD \
           -o coracle0 -j ACCEPT",
        ],
    ),
    (
        "iptables-nft -P FORWARD DROP; iptables-nft -N DOCKER-USER
         iptables-nft -A FORWARD -j DOCKER-USER; iptables-nft -A DOCKER-USER -j RETURN
         iptables-nft -A FORWARD -o docker0 -j ACCEPT
         iptables-nft -I DOCKER-USER -i coracle0 -m comment --comment ours -j ACCEPT",
        &[
            "the chain FORWARD of the firewall's table ip filter drops what is sent to containers; to \
           let it through: iptables -I DOCKER-USER -o coracle0 -j ACCEPT",
        ],
    ),
    (
        "iptables-nft -P FORWARD DROP; iptables-nft -N ufw-user-forward
         iptables-nft -A FORWARD -j ufw-user-forward
         iptables-nft -A ufw-user-forward -o coracle0 -p tcp --dport 80 -j ACCEPT
         iptables-nft -A FORWARD -j LOG; iptables-nft -A ufw-user-forward -i coracle+ -j ACCEPT",
        &[
            "the chain FORWARD of the firewall's table ip filter drops what is sent to containers; to \
           let it through: ufw route allow out on coracle0",
        ],
    ),
    (
        "iptables-nft -A FORWARD -o coracle0 -j ACCEPT
         iptables-nft -A FORWARD -i coracle0 -j ACCEPT; iptables-nft -A FORWARD -j REJECT",
        &[],
    ),
    (
        "nft -f - <<END
table inet filter {
    chain mine { iifname { eth5, coracle0 } counter accept; }
    chain forward {
        type filter hook forward priority 0; policy drop;
        ct state established accept
        meta nfproto ipv6 drop
        iifname != eth7 jump mine
    }
}
END",
        &[
            "the chain forward of the firewall's table inet filter drops what is sent to containers; \
           to let it through: nft insert rule inet filter forward oifname coracle0 accept",
        ],
    ),
    (
        "nft -f - <<END
table inet filter {
    chain forward {
        type filter hook forward priority 0; policy drop;
        meta nfproto ipv4 iifname coracle0 accept
        oifname \"coracle*\" goto mine
    }
    chain mine { oifname != coracle0 drop; accept; }
}
END",
        &[],
    ),
    (
        "nft -f - <<END
table inet firewalld {
    chain filter_FORWARD {
        type filter hook forward priority 10; policy accept;
        ct state established accept
        reject with icmpx admin-prohibited
    }
}
END",
        &["the chain filter_FORWARD of the firewall's table inet firewalld drops what containers \
           send and are sent; to let it through: firewall-cmd --permanent --zone=trusted \
           --add-interface=coracle0; firewall-cmd --reload"],
    ),
    (
        "iptables-legacy -P FORWARD DROP",
        &[
            "the chain FORWARD of the firewall's table ip filter drops what containers send and are \
           sent; to let it through: iptables-legacy -I FORWARD -i coracle0 -j ACCEPT; \
           iptables-legacy -I FORWARD -o coracle0 -j ACCEPT",
        ],
    ),
    (
        "iptables-legacy -P FORWARD ACCEPT; iptables-legacy -A FORWARD -s 10.0.0.1 -j ACCEPT
         iptables-legacy -N DOCKER-USER; iptables-legacy -A FORWARD -j DOCKER-USER
         iptables-legacy -A DOCKER-USER -i coracle+ -m comment --comment ours -j ACCEPT
         iptables-legacy -A DOCKER-USER ! -i coracle0 -p tcp -j ACCEPT
         iptables-legacy -A FORWARD -j LOG; iptables-legacy -A FORWARD -j REJECT",
        &[
            "the chain FORWARD of the firewall's table ip filter drops what is sent to containers; to \
           let it through: iptables-legacy -I DOCKER-USER -o coracle0 -j ACCEPT",
        ],
    ),
    (
        "iptables-legacy -P INPUT DROP; iptables-legacy -N last
         iptables-legacy -P FORWARD DROP; iptables-legacy -A last -j ACCEPT
         iptables-legacy -A FORWARD -g last",
        &[],
    ),
    // Nothing of ours, and no rules at all.
    (
        "nft add table ip6 x; nft 'add chain ip6 x y { type filter hook forward priority 0; policy drop; }'",
        &[],
    ),
    (
        "nft add table ip x; nft 'add chain ip x y { type filter hook input priority 0; policy drop; }'",
        &[],
    ),
];

#[test]
fn a_foreign_firewall_in_the_way_is_told_with_its_cure() {
    on_a_host_of_its_own("firewall::a_foreign_firewall_in_the_way_is_told_with_its_cure", |host| {
        for (script, expected) in FIREWALLS {
            assert_eq!(run(script), "");
            let mut attachment = host.attach(1);
            host.publish(&mut attachment, &[]);
            assert_eq!(attachment.obstacles, expected, "{script}\n{}", nft());
            assert_eq!(host.networks.obstacles().unwrap(), expected);
            // With its cure the sentence goes.
            for cure in expected.iter().filter_map(|text| text.split("let it through: ").nth(1)) {
                if cure.starts_with("iptables") || cure.starts_with("nft") {
                    assert_eq!(run(&cure.replace("iptables -", "iptables-nft -")), "");
                    let none: [&str; 0] = [];
                    assert_eq!(host.networks.obstacles().unwrap(), none);
                }
            }
            // It is told when the rules are made, and not again.
            let mut other = host.attach(2);
            host.publish(&mut other, &[]);
            assert!(other.obstacles.is_empty());
            assert_eq!(run("nft flush ruleset"), "");
            if script.contains("legacy") {
                let all =
                    "iptables-legacy -P FORWARD ACCEPT; iptables-legacy -F; iptables-legacy -X";
                assert_eq!(run(all), "");
            }
        }
    });
}

#[test]
fn what_a_foreign_firewall_drops_passes_with_the_rule_that_is_told() {
    const TEST: &str = "firewall::what_a_foreign_firewall_drops_passes_with_the_rule_that_is_told";
    on_a_host_of_its_own(TEST, |host| {
        assert_eq!(run("iptables-nft -P FORWARD DROP"), "");
        let mut attachment = host.attach(1);
        host.publish(&mut attachment, &[mapping(ANY, 8080, Protocol::Tcp)]);
        let server = start_server(&attachment);
        let ask = asking(Protocol::Tcp, Ipv4Addr::new(192, 0, 2, 1), 8080);
        let script = format!("{ask}; read x; {ask}");
        let mut client = neighbour(&script);
        client.says("TimeoutError");
        let cure = attachment.obstacles[0].split("let it through: ").nth(1).unwrap();
        assert_eq!(run(&cure.replace("iptables", "iptables-nft")), "");
        client.stdin.write_all(b"\n").unwrap();
        assert_eq!(client.finish(), "192.0.2.2\n");
        server.finish();
    });
}
