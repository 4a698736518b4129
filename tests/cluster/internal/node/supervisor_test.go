package node

import (
	"syscall"
	"testing"

	"github.com/podkeep/podkeep/tests/cluster"
)

const (
	exited1 = syscall.WaitStatus(1 << 8)
	killed  = syscall.WaitStatus(syscall.SIGKILL)
)

func TestEndOfComponentWhileStartingIsFailure(t *testing.T) {
	s := newSupervisor(Config{Node: cluster.First})
	*s.components[etcd] = ComponentStatus{Name: etcd, PID: 7, Wanted: true}
	s.ended(7, exited1)

	got := s.status()
	if got.Phase != Failed || got.Component != etcd || got.Failure != "etcd ended: exit code 1" {
		t.Errorf("got phase %s, component %q, failure %q", got.Phase, got.Component, got.Failure)
	}
}

func TestEndOnRequestIsNotCounted(t *testing.T) {
	s := newSupervisor(Config{Node: cluster.First})
	s.phase = Running
	*s.components[apiServer] = ComponentStatus{Name: apiServer, PID: 7}
	s.ended(7, killed)

	if got := s.components[apiServer]; got.PID != 0 || got.Restarts != 0 || got.LastExit != "signal killed" {
		t.Errorf("got %+v", *got)
	}
}

func TestEndOfOtherProcessIsIgnored(t *testing.T) {
	s := newSupervisor(Config{Node: cluster.First})
	*s.components[etcd] = ComponentStatus{Name: etcd, PID: 7, Wanted: true}
	s.ended(8, exited1)

	if got := s.status(); got.Phase != Starting {
		t.Errorf("got phase %s", got.Phase)
	}
}
