//! Wi-Fi: joins the network that the firmware was built for, and joins it again when it is lost.

use core::fmt;

use embassy_time::{Duration, Timer};
use esp_hal::peripherals::WIFI;
use esp_radio::wifi::sta::StationConfig;
use esp_radio::wifi::{
    AuthenticationMethodConfig, Config, Password, Ssid, WifiController, WifiError,
};

/// The network's name and password, from the environment of the build: they are nobody's business
/// but the builder's, and settings are shown around. Without a password the network is open.
const SSID: Option<&str> = option_env!("WIFI_SSID");
const PASSWORD: Option<&str> = option_env!("WIFI_PASSWORD");

/// How long to wait before trying to join again.
const PAUSE: Duration = Duration::from_secs(3);

/// Why there is no Wi-Fi.
#[derive(Debug)]
pub enum StartError {
    /// The firmware was built without the name of a network.
    NoSsid,
    /// The radio doesn't take name, password or configuration.
    Radio(WifiError),
}

impl From<WifiError> for StartError {
    fn from(error: WifiError) -> Self {
        Self::Radio(error)
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSsid => write!(f, "built without WIFI_SSID and WIFI_PASSWORD"),
            Self::Radio(error) => write!(f, "Wi-Fi: {error}"),
        }
    }
}

/// Starts the radio.
pub fn start(radio: WIFI<'static>) -> Result<WifiController<'static>, StartError> {
    let ssid = Ssid::try_from(SSID.ok_or(StartError::NoSsid)?)?;
    let authentication = match PASSWORD {
        Some(password) => AuthenticationMethodConfig::Wpa2Personal(Password::try_from(password)?),
        None => AuthenticationMethodConfig::Open,
    };
    let station = StationConfig::default()
        .with_ssid(ssid)
        .with_authentication(authentication);
    let mut controller = WifiController::new(radio, Default::default())?;
    controller.set_config(&Config::Station(station))?;
    Ok(controller)
}

/// Joins the network for ever.
#[embassy_executor::task]
pub async fn keep(mut controller: WifiController<'static>) {
    loop {
        match controller.connect_async().await {
            Ok(_) => {
                log::info!("Wi-Fi: joined");
                let _ = controller.wait_for_disconnect_async().await;
                log::warn!("Wi-Fi: lost");
            }
            Err(error) => log::warn!("Wi-Fi: {error:?}"),
        }
        Timer::after(PAUSE).await;
    }
}
