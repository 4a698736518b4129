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
	if first, second := netip.MustParsePrefix(NodePodRange), netip.MustParsePrefix(Second.PodRange); first.Overlaps(second) || !pods.Overlaps(second) {
		t.Errorf("%s and %s must be two ranges of %s", first, second, pods)
	}
	if links := netip.MustParsePrefix(SecondLinkRange); !links.Contains(netip.MustParseAddr(Second.Address)) || !links.Contains(netip.MustParseAddr(Second.Gateway)) {
		t.Errorf("%s and %s are not in %s", Second.Address, Second.Gateway, SecondLinkRange)
	}
	if first := netip.MustParsePrefix(NodePodRange); first.Addr() != pods.Addr() {
		t.Errorf("%s is not the first range of %s", first, pods)
	}
}
