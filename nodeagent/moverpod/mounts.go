package moverpod

import (
	"fmt"
	"path"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/location"
	"github.com/podkeep/podkeep/internal/wire"
)

// Where things are mounted in a mover.
const (
	cacheDir        = "/cache"
	temporaryDir    = "/tmp"
	credentialsDir  = "/credentials"
	credentialsFile = credentialsDir + "/cloud"
	passwordDir     = "/repository"
	passwordFile    = passwordDir + "/repository-password"
	authoritiesDir  = "/authorities"
	authoritiesFile = authoritiesDir + "/ca.crt"
	slotDir         = "/podinfo"
	slotName        = "slot"
	slotFile        = slotDir + "/" + slotName
)

// authoritiesVariable names the file from which Go programs read the system's
// certificate authorities (crypto/x509, root_unix.go).
const authoritiesVariable = "SSL_CERT_FILE"

// mounted collects the volumes of a mover, where they are mounted, and variables
// that say so.
type mounted struct {
	volumes []corev1.Volume
	mounts  []corev1.VolumeMount
	env     []corev1.EnvVar
}

func (m *mounted) add(name, mountPath string, source corev1.VolumeSource) {
	m.addMount(name, source, corev1.VolumeMount{MountPath: mountPath})
}

func (m *mounted) addMount(name string, source corev1.VolumeSource, mount corev1.VolumeMount) {
	mount.Name = name
	m.volumes = append(m.volumes, corev1.Volume{Name: name, VolumeSource: source})
	m.mounts = append(m.mounts, mount)
}

// mountsOf returns all volumes of the mover, in a fixed order.
//
// Secrets are optional, so that a mover without one starts and says what is
// missing; a pod without a Secret that it needs hangs and says nothing.
func mountsOf(t Template, m Mover) (mounted, error) {
	var all mounted
	all.addMount("volume", directory(m.HostPath), corev1.VolumeMount{
		MountPath:        VolumePath(m.UID),
		ReadOnly:         m.Kind == wire.KindBackup,
		MountPropagation: ptr.To(corev1.MountPropagationHostToContainer),
	})
	all.add("cache", cacheDir, cacheVolume(t, m))
	all.add("tmp", temporaryDir, emptyDir())
	all.addMount("podinfo", slotInfo(), corev1.VolumeMount{MountPath: slotDir, ReadOnly: true})
	all.addMount("repository-password", secretFile(&t.RepositoryPassword, path.Base(passwordFile)),
		corev1.VolumeMount{MountPath: passwordDir, ReadOnly: true})
	return all, all.addLocation(t, m)
}

// memoryCacheLimitMB bounds a cache in memory. kopia uses a fifth of it for
// metadata, which is enough for the folders of some millions of files, and a mover
// caches nothing else.
const memoryCacheLimitMB = 512

// cachesInMemory reports whether the mover's cache is in memory. kopia syncs every
// file of its cache to disk: with an empty cache, as each mover has it, that was
// three quarters of the syncs of an unchanged backup and a quarter of its time. A
// limit that somebody set, of the cache or of the mover's memory, speaks against it.
func cachesInMemory(t Template, m Mover) bool {
	return m.CacheLimitMB == 0 && t.Resources.Limits.Memory().IsZero()
}

func cacheVolume(t Template, m Mover) corev1.VolumeSource {
	v := emptyDir()
	if cachesInMemory(t, m) {
		v.EmptyDir.Medium = corev1.StorageMediumMemory
	}
	return v
}

func cacheLimitMB(t Template, m Mover) int64 {
	if cachesInMemory(t, m) {
		return memoryCacheLimitMB
	}
	return m.CacheLimitMB
}

// addLocation mounts what the mover needs to reach the storage location.
func (m *mounted) addLocation(t Template, mover Mover) error {
	bsl := mover.Location
	l, err := location.New(bsl)
	if err != nil {
		return fmt.Errorf("backup storage location %s: %w", bsl.Name, err)
	}
	if l.Provider == location.ProviderFilesystem {
		return m.addFolder(l)
	}
	if key := credentialsOf(t, bsl); key != nil {
		m.addMount("credentials", secretFile(key, path.Base(credentialsFile)),
			corev1.VolumeMount{MountPath: credentialsDir, ReadOnly: true})
	}
	if s := bsl.Spec.ObjectStorage; s != nil && s.CACertRef != nil {
		m.addMount("authorities", secretFile(s.CACertRef, path.Base(authoritiesFile)),
			corev1.VolumeMount{MountPath: authoritiesDir, ReadOnly: true})
		m.env = append(m.env, corev1.EnvVar{Name: authoritiesVariable, Value: authoritiesFile})
	}
	return nil
}

// addFolder mounts a location that is a folder. Without a claim or a directory of
// the node the mover would write into its own container, and lose it.
func (m *mounted) addFolder(l location.Location) error {
	mount := corev1.VolumeMount{MountPath: l.Config[location.ConfigFilesystemPath], ReadOnly: l.ReadOnly}
	claim, hostPath := l.Config[location.ConfigFilesystemClaim], l.Config[location.ConfigFilesystemHostPath]
	switch {
	case claim != "":
		m.addMount("location", corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim},
		}, mount)
	case hostPath != "":
		m.addMount("location", corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{
			Path: hostPath, Type: ptr.To(corev1.HostPathDirectoryOrCreate),
		}}, mount)
	default:
		return fmt.Errorf("backup storage location %s: spec.config: Required value: %q or %q must say what is mounted at %q",
			l.Name, location.ConfigFilesystemClaim, location.ConfigFilesystemHostPath, mount.MountPath)
	}
	return nil
}

// credentialsOf returns the location's own credentials, else the install's.
func credentialsOf(t Template, bsl *velerov1.BackupStorageLocation) *corev1.SecretKeySelector {
	if bsl.Spec.Credential != nil {
		return bsl.Spec.Credential
	}
	return t.Credentials
}

// directory is a directory of the node that must exist: a missing one would be
// created, and its emptiness be backed up.
func directory(hostPath string) corev1.VolumeSource {
	return corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{
		Path: hostPath, Type: ptr.To(corev1.HostPathDirectory),
	}}
}

func emptyDir() corev1.VolumeSource {
	return corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}
}

func secretFile(key *corev1.SecretKeySelector, file string) corev1.VolumeSource {
	return corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{
		SecretName:  key.Name,
		Items:       []corev1.KeyToPath{{Key: key.Key, Path: file}},
		DefaultMode: ptr.To[int32](secretFileMode),
		Optional:    ptr.To(true),
	}}
}

// slotInfo shows the mover its slot annotation, now and when it changes.
func slotInfo() corev1.VolumeSource {
	return corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{Items: []corev1.DownwardAPIVolumeFile{{
		Path:     slotName,
		FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.annotations['" + velerov1.SlotAnnotation + "']"},
	}}}}
}
