package backup

import (
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/layout"
)

func TestVolumeInfo(t *testing.T) {
	t.Parallel()

	pv := &volume{name: "pv-db", reclaimPolicy: "Retain", labels: map[string]string{"zone": "a"}, found: true, archived: true}
	db := func(mods ...func(*claim)) *claim {
		c := &claim{namespace: "app", name: "db", volume: pv}
		for _, mod := range mods {
			mod(c)
		}
		return c
	}
	taken := func(c *claim) { c.taken = true }
	ofClaim := takenVolume{podNamespace: "app", podName: "web-0", volume: "data", node: "node-1", claim: "db"}
	ofNone := takenVolume{podNamespace: "app", podName: "web-0", volume: "cache", node: "node-1"}
	ended := func(phase velerov1.PodVolumeBackupPhase, v takenVolume) velerov1.PodVolumeBackup {
		p := volumeIn(phase)
		p.Spec.Volume, p.Spec.Node, p.Spec.UploaderType = v.volume, v.node, "kopia"
		p.Status.SnapshotID, p.Status.Progress.TotalBytes, p.Status.IncrementalBytes = "k1", 100, 10
		p.Status.StartTimestamp = &metav1.Time{Time: t0}
		if v.claim != "" {
			p.Annotations = map[string]string{velerov1.PVCNameAnnotation: v.claim}
		}
		return p
	}

	tests := map[string]struct {
		claims  []*claim
		taken   map[string]takenVolume
		skipped []skippedVolume
		unused  string
		volumes []velerov1.PodVolumeBackup
	}{
		"info-completed": {
			claims: []*claim{db(taken)}, taken: map[string]takenVolume{"a": ofClaim, "b": ofNone},
			volumes: []velerov1.PodVolumeBackup{ended("Completed", ofClaim), ended("Completed", ofNone)},
		},
		"info-failed": {
			claims: []*claim{db(taken)}, taken: map[string]takenVolume{"a": ofClaim},
			volumes: []velerov1.PodVolumeBackup{ended("Failed", ofClaim)},
		},
		"info-skipped-by-two-pods": {
			claims: []*claim{db(func(c *claim) { c.skips = []string{"PodNotRunning (pod web-0)", "ExcludedByPod (pod web-1)"} })},
		},
		"info-not-mounted": {claims: []*claim{db()}},
		"info-volume-not-in-the-backup": {
			claims: []*claim{db(func(c *claim) { c.volume = &volume{name: "pv-db"} })},
		},
		"info-excluded":  {claims: []*claim{db(func(c *claim) { c.excluded = excludedByLabel })}},
		"info-no-pods":   {claims: []*claim{db()}, unused: reasonPodsExcluded},
		"info-not-bound": {claims: []*claim{db(func(c *claim) { c.volume, c.skips = nil, []string{"PodNotRunning (pod web-0)"} })}},
		"info-unprotected": {
			skipped: []skippedVolume{{podNamespace: "app", podName: "web-0", volume: "cache", reason: "ServerDefault"}},
		},
		"info-lost": {
			claims: []*claim{db(taken)}, taken: map[string]takenVolume{"a": ofClaim},
		},
		"info-of-an-earlier-collection": {
			volumes: []velerov1.PodVolumeBackup{ended("Completed", ofClaim)},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			claims := newClaims()
			claims.unused = tc.unused
			for _, cl := range tc.claims {
				claims.add(cl)
			}

			list, lost := finalVolumeInfo(interimVolumeInfo(claims, &podVolumes{created: tc.taken, skipped: tc.skipped}), tc.volumes)

			golden(t, name, map[string]layout.VolumeInfoList{"list": list, "lost": lost})
			again, _ := finalVolumeInfo(list, tc.volumes)
			g.Expect(again).To(Equal(list), "completing it twice changes nothing")
		})
	}
}

func TestSkippedVolumesAreLoggedAsByVelero(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	c := newClaims()
	c.add(&claim{namespace: "app", name: "db", volume: &volume{name: "pv-1"}, skips: []string{"PodNotRunning (pod a)", "PodExcluded (pod b)"}})
	c.add(&claim{namespace: "app", name: "files", volume: &volume{name: "pv-2"}, taken: true})
	c.add(&claim{namespace: "app", name: "pending"})

	g.Expect(skippedVolumes(c)).To(Equal(`[{"name":"pv-1","reasons":[{"approach":"podvolume","reason":"PodNotRunning (pod a)"},` +
		`{"approach":"podvolume","reason":"PodExcluded (pod b)"}]}]`))
	g.Expect(skippedVolumes(newClaims())).To(Equal("[]"))
}
