package cluster

import (
	"net/netip"
	"testing"
)

func TestAddressesAreConsistent(t *testing.T) {
	services, pods := netip.MustParsePrefix(ServiceRange), netip.MustParsePrefix(PodRange)
	for address, want := range map[string]bool{
		NodeAddress:       false,
		HostAddress:       false,
		APIServiceAddress: true,
		S3Address:         true,
	} {
		if got := services.Contains(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s in %s: got %t, want %t", address, ServiceRange, got, want)
		}
	}
	if services.Overlaps(pods) {
		t.Errorf("%s and %s overlap", services, pods)
	}
	if first := netip.MustParsePrefix(NodePodRange); first.Addr() != pods.Addr() {
		t.Errorf("%s is not the first range of %s", first, pods)
	}
}
