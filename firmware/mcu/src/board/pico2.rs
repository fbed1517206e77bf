//! Raspberry Pi Pico 2: RP2350, of which one Cortex-M33 runs, at 150 MHz. Logs go through RTT.
//!
//! An ArduCAM Mini 2MP is on the pins that its maker shows for a Pico: SPI0 with clock GP2, MOSI GP3, MISO GP4, chip select
//! GP5; I2C0 with SDA GP8, SCL GP9.

#![allow(unsafe_code, reason = "what the boot ROM reads has to lie where it looks")]

use cardinal_camera::arducam::{ArduCam, ArduCamError, Config};
use cardinal_runtime::format::Shape;
use cortex_m::peripheral::DWT;
use defmt_rtt as _;
use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::I2c;
use embedded_hal::spi::{MODE_0, SpiDevice};
use embedded_hal_bus::spi::ExclusiveDevice;
use rp235x_hal::block::ImageDef;
use rp235x_hal::clocks::init_clocks_and_plls;
use rp235x_hal::fugit::{ExtU32, RateExtU32};
use rp235x_hal::gpio::{FunctionSpi, PinState, Pins};
use rp235x_hal::pac::Peripherals;
use rp235x_hal::{Clock, I2C, Sio, Spi, Timer};

use crate::Exit;
use crate::board::WATCHDOG_MS;
use crate::camera::Camera;

/// Tells the boot ROM that this is a program for the Arm cores.
// SAFETY: the linker script puts this section where the boot ROM looks for such a block, and nothing else into it.
#[unsafe(link_section = ".start_block")]
#[used]
static IMAGE_DEF: ImageDef = ImageDef::secure_exe();

/// The board's crystal.
const CRYSTAL_HZ: u32 = 12_000_000;

/// What [`elapsed`] counts.
pub const UNIT: &str = "cycles";

/// Frames until a loop ends: years.
pub const FRAMES: u32 = u32::MAX;

/// The board, running.
pub struct Board<C> {
    camera: C,
    watchdog: Watchdog,
}

/// Starts clocks and buses. For once: a second call ends the program.
///
/// `cortex_m_rt::entry` is enough for this chip: what the HAL's own adds is for its critical section across both cores and
/// for the double-precision coprocessor, neither of which is used.
pub fn start() -> Board<impl Camera> {
    let (Some(core), Some(chip)) = (cortex_m::Peripherals::take(), Peripherals::take()) else {
        defmt::error!("the board was started before");
        exit(Exit::Panic)
    };
    let (mut dcb, mut dwt, mut resets) = (core.DCB, core.DWT, chip.RESETS);
    dcb.enable_trace();
    dwt.enable_cycle_counter();
    if chip.WATCHDOG.reason().read().timer().bit_is_set() {
        defmt::warn!("started by the watchdog: the program before was not fast enough, or stuck");
    }
    let mut watchdog = rp235x_hal::Watchdog::new(chip.WATCHDOG);
    let plls = (chip.PLL_SYS, chip.PLL_USB);
    let clocks = init_clocks_and_plls(CRYSTAL_HZ, chip.XOSC, chip.CLOCKS, plls.0, plls.1, &mut resets, &mut watchdog);
    let Ok(clocks) = clocks else {
        defmt::error!("the crystal or a PLL does not start");
        exit(Exit::Panic)
    };

    let pins = Pins::new(chip.IO_BANK0, chip.PADS_BANK0, Sio::new(chip.SIO).gpio_bank0, &mut resets);
    let timer = Timer::new_timer0(chip.TIMER0, &mut resets, &clocks);
    let (data, clock) = (pins.gpio8.reconfigure(), pins.gpio9.reconfigure());
    let i2c = I2C::i2c0(chip.I2C0, data, clock, 100.kHz(), &mut resets, clocks.system_clock.freq());
    let lines = (
        pins.gpio3.into_function::<FunctionSpi>(),
        pins.gpio4.into_function::<FunctionSpi>(),
        pins.gpio2.into_function::<FunctionSpi>(),
    );
    let spi = Spi::<_, _, _, 8>::new(chip.SPI0, lines);
    let spi = spi.init(&mut resets, clocks.peripheral_clock.freq(), 8.MHz(), MODE_0);
    let select = pins.gpio5.into_push_pull_output_in_state(PinState::High);
    let Ok(spi) = ExclusiveDevice::new(spi, select, timer);
    Board { camera: ArduCam::new(i2c, spi, timer), watchdog: Watchdog(watchdog) }
}

impl<C: Camera> Board<C> {
    /// The camera, and the watchdog, both yet to be started. The scene is for boards without a camera.
    pub fn into_camera_and_watchdog(self, _scene: &[u8], _shape: Shape) -> (C, Watchdog) {
        (self.camera, self.watchdog)
    }
}

impl<I: I2c, S: SpiDevice, D: DelayNs> Camera for ArduCam<I, S, D> {
    fn start(&mut self) -> Result<(), ArduCamError> {
        self.init(&Config::default())
    }
}

/// Resets the chip if it is not fed in time.
pub struct Watchdog(rp235x_hal::Watchdog);

impl Watchdog {
    /// Lets it count.
    pub fn start(&mut self) {
        self.0.start(WATCHDOG_MS.millis());
    }

    /// Starts the countdown anew: eight seconds.
    pub fn feed(&self) {
        self.0.feed();
    }
}

/// The clock.
pub fn now() -> u32 {
    DWT::cycle_count()
}

/// Cycles between two readings of the clock, less than 2³² apart: 28 seconds.
pub fn elapsed(from: u32, to: u32) -> u32 {
    to.wrapping_sub(from)
}

/// Ends the program: logs the code and sleeps, or starts over if the watchdog was started.
pub fn exit(how: Exit) -> ! {
    defmt::info!("exit {=u8}: {}", how as u8, how);
    loop {
        cortex_m::asm::wfi();
    }
}
