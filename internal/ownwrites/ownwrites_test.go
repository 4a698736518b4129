package ownwrites

import (
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

func TestOwnWrites(t *testing.T) {
	t.Parallel()
	version := func(uid types.UID, v, node string) *velerov1.PodVolumeRestore {
		return &velerov1.PodVolumeRestore{
			ObjectMeta: metav1.ObjectMeta{Namespace: "velero", Name: "a", UID: uid, ResourceVersion: v},
			Status:     velerov1.PodVolumeRestoreStatus{Node: node},
		}
	}
	tests := map[string]struct {
		cached, own *velerov1.PodVolumeRestore
		want        string
	}{
		"nothing written: the cache":                {cached: version("u", "9", "cache"), want: "cache"},
		"cache behind: our own":                     {cached: version("u", "9", "cache"), own: version("u", "10", "own"), want: "own"},
		"cache ahead: the cache":                    {cached: version("u", "11", "cache"), own: version("u", "10", "own"), want: "cache"},
		"cache has our own":                         {cached: version("u", "10", "cache"), own: version("u", "10", "own"), want: "cache"},
		"another object of the name: the cache":     {cached: version("v", "9", "cache"), own: version("u", "10", "own"), want: "cache"},
		"version that is no number: trust no order": {cached: version("u", "x", "cache"), own: version("u", "10", "own"), want: "cache"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			var w Memory[velerov1.PodVolumeRestore, *velerov1.PodVolumeRestore]
			if tc.own != nil {
				w.Remember(tc.own)
				tc.own.Status.Node = "changed by the caller later"
			}

			w.Refresh(tc.cached)

			g.Expect(tc.cached.Status.Node).To(Equal(tc.want))
		})
	}
}

func TestForgottenWritesAreNotSeen(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	var w Memory[velerov1.PodVolumeRestore, *velerov1.PodVolumeRestore]
	own := &velerov1.PodVolumeRestore{ObjectMeta: metav1.ObjectMeta{Namespace: "velero", Name: "a", ResourceVersion: "2"}}
	w.Remember(own)

	w.Forget(types.NamespacedName{Namespace: "velero", Name: "a"})

	cached := &velerov1.PodVolumeRestore{ObjectMeta: metav1.ObjectMeta{Namespace: "velero", Name: "a", ResourceVersion: "1"}}
	w.Refresh(cached)
	g.Expect(cached.ResourceVersion).To(Equal("1"))
}
