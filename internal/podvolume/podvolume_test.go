package podvolume

import (
	"io/fs"
	"testing"
	"testing/fstest"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
)

func TestDirectory(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		facts     Facts
		want      string
		wantErr   error
		wantInErr string
	}{
		"emptyDir is called as the volume": {
			facts: Facts{Volume: "scratch"},
			want:  "scratch",
		},
		"inline CSI volume is in mount": {
			facts: Facts{Volume: "inline"},
			want:  "inline/mount",
		},
		"claim of an in-tree volume is called as the persistent volume": {
			facts: Facts{Volume: "data", Claim: claim("pv-1"), PersistentVolume: pv()},
			want:  "pv-1",
		},
		"claim of a CSI volume is in mount": {
			facts: Facts{Volume: "data", Claim: claim("pv-1"), PersistentVolume: pv(csi)},
			want:  "pv-1/mount",
		},
		"volume migrated to an existing driver is in mount": {
			facts: Facts{
				Volume: "data", Claim: claim("pv-1"), PersistentVolume: pv(annotated(migratedToAnnotation)),
				CSIDrivers: map[string]bool{"disk.example.com": true},
			},
			want: "pv-1/mount",
		},
		"volume provisioned by an existing driver is in mount": {
			facts: Facts{
				Volume: "data", Claim: claim("pv-1"), PersistentVolume: pv(annotated(provisionedByAnnotation)),
				CSIDrivers: map[string]bool{"disk.example.com": true},
			},
			want: "pv-1/mount",
		},
		"volume provisioned by something that is no driver is not": {
			facts: Facts{Volume: "data", Claim: claim("pv-1"), PersistentVolume: pv(annotated(provisionedByAnnotation))},
			want:  "pv-1",
		},
		"generic ephemeral volume is a claim": {
			facts: Facts{Volume: "generic", Claim: claim("pv-1"), PersistentVolume: pv(csi)},
			want:  "pv-1/mount",
		},
		"volume that the pod does not have": {
			facts: Facts{Volume: "nope"}, wantErr: ErrNotFound, wantInErr: `pod shop/db-0 has no volume "nope"`,
		},
		"claim that does not exist": {
			facts: Facts{Volume: "data"}, wantErr: ErrNotFound, wantInErr: "claim shop/data-db-0",
		},
		"claim that is not bound": {
			facts: Facts{Volume: "data", Claim: claim("")}, wantErr: ErrNotFound, wantInErr: "not bound",
		},
		"persistent volume that does not exist": {
			facts: Facts{Volume: "data", Claim: claim("pv-1")}, wantErr: ErrNotFound, wantInErr: "persistent volume pv-1",
		},
		"block volume is out of scope": {
			facts:   Facts{Volume: "data", Claim: claim("pv-1"), PersistentVolume: pv(block)},
			wantErr: ErrBlockVolume, wantInErr: "volumeMode Block",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			tc.facts.Pod = pod()

			got, err := Directory(tc.facts)

			if tc.wantErr != nil {
				g.Expect(err).To(MatchError(tc.wantErr))
				g.Expect(err).To(MatchError(ContainSubstring(tc.wantInErr)))
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(got).To(Equal(tc.want))
		})
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	root := fstest.MapFS{
		"uid-1/volumes/kubernetes.io~empty-dir/scratch": dir(),
		"uid-1/volumes/kubernetes.io~csi/pv-1/mount":    dir(),
		"uid-1/volumes/kubernetes.io~local-volume/pv-2": dir(),
		"uid-1/volumes/kubernetes.io~nfs/twice":         dir(),
		"uid-1/volumes/kubernetes.io~glusterfs/twice":   dir(),
		"uid-1/volumes/kubernetes.io~empty-dir/file":    {},
		"uid-2/volumes/kubernetes.io~empty-dir/scratch": dir(),
		"uid-2/volumes/kubernetes.io~csi/pv-9/vol.json": {},
	}
	tests := map[string]struct {
		uid     types.UID
		dir     string
		want    string
		wantErr error
	}{
		"emptyDir":                       {uid: "uid-1", dir: "scratch", want: "uid-1/volumes/kubernetes.io~empty-dir/scratch"},
		"CSI":                            {uid: "uid-1", dir: "pv-1/mount", want: "uid-1/volumes/kubernetes.io~csi/pv-1/mount"},
		"local volume":                   {uid: "uid-1", dir: "pv-2", want: "uid-1/volumes/kubernetes.io~local-volume/pv-2"},
		"two plugins with the same name": {uid: "uid-1", dir: "twice", wantErr: ErrAmbiguous},
		"a file is no volume":            {uid: "uid-1", dir: "file", wantErr: ErrNotFound},
		"pod without directory":          {uid: "uid-3", dir: "scratch", wantErr: ErrNotFound},
		"CSI volume that is not mounted": {uid: "uid-2", dir: "pv-9/mount", wantErr: ErrNotFound},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			got, err := Find(root, tc.uid, tc.dir)

			if tc.wantErr != nil {
				g.Expect(err).To(MatchError(tc.wantErr))
				g.Expect(err).To(MatchError(ContainSubstring(string(tc.uid)+"/volumes/*/"+tc.dir)), "says what was looked for")
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(got).To(Equal(tc.want))
		})
	}
}

func TestHostUIDOfStaticPodIsThatOfItsFile(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	p := pod()
	g.Expect(HostUID(p)).To(BeEquivalentTo("uid-1"))

	p.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "hash"}

	g.Expect(HostUID(p)).To(BeEquivalentTo("hash"))
}

func dir() *fstest.MapFile { return &fstest.MapFile{Mode: fs.ModeDir | 0o750} }

func pod() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "db-0", UID: "uid-1"},
		Spec: corev1.PodSpec{Volumes: []corev1.Volume{
			{Name: "scratch", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
			{Name: "inline", VolumeSource: corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{Driver: "disk.example.com"}}},
			{Name: "data", VolumeSource: corev1.VolumeSource{
				PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data-db-0"},
			}},
			{Name: "generic", VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{}}},
		}},
	}
}

func claim(volumeName string) *corev1.PersistentVolumeClaim {
	return &corev1.PersistentVolumeClaim{Spec: corev1.PersistentVolumeClaimSpec{VolumeName: volumeName}}
}

func pv(mods ...func(*corev1.PersistentVolume)) *corev1.PersistentVolume {
	v := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "pv-1"}}
	for _, mod := range mods {
		mod(v)
	}
	return v
}

func csi(v *corev1.PersistentVolume) {
	v.Spec.CSI = &corev1.CSIPersistentVolumeSource{Driver: "disk.example.com"}
}

func block(v *corev1.PersistentVolume) { v.Spec.VolumeMode = ptr.To(corev1.PersistentVolumeBlock) }

func annotated(key string) func(*corev1.PersistentVolume) {
	return func(v *corev1.PersistentVolume) { v.Annotations = map[string]string{key: "disk.example.com"} }
}
