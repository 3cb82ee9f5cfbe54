package webhook

import "slices"

// otherPorts are ports over 1023 used by other protocols than HTTP, or by HTTP that trusts
// everybody who can reach it. The list protects third parties: private addresses are closed
// anyway.
var otherPorts = []uint16{
	1719, 1720, 1723, // H.323, PPTP
	2049,                   // NFS
	2375, 2376, 2379, 2380, // Docker, etcd
	3306, 3389, 3659, // MySQL, RDP, SASL
	4045, 4190, // lockd, ManageSieve
	5060, 5061, 5432, 5900, 5984, // SIP, PostgreSQL, VNC, CouchDB
	6000, 6379, 6443, 6566, // X11, Redis, Kubernetes, SANE
	6665, 6666, 6667, 6668, 6669, 6679, 6697, // IRC
	9092, 9200, 9300, // Kafka, Elasticsearch
	10080, 10250, 10255, // Amanda, kubelet
	11211, 26379, 27017, // memcached, Redis Sentinel, MongoDB
}

// portOpen reports whether a webhook may go to the port: 80, 443, and 1024 to 65535 except
// those of other protocols.
func portOpen(port uint16) bool {
	if port < 1024 {
		return port == 80 || port == 443
	}
	return !slices.Contains(otherPorts, port)
}
